#include "../family.hpp"

namespace metaworld {

struct Reach : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Geom obj_geom = geom("objGeom");
  const Constant<3> hand_init_pos = constant3("hand_init_pos");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(obj_geom)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 target = scene[target_pos];
    const double tcp_to_target = norm(scene.tcp() - target);
    const double in_place = tolerance(tcp_to_target, 0, 0.05, norm(scene[hand_init_pos] - target));

    Outcome out;
    out.reward = 10 * in_place;
    out.success = tcp_to_target <= 0.05;
    out.near_object = tcp_to_target;
    out.grasp_success = 1.0;
    out.grasp_reward = tcp_to_target;
    out.in_place_reward = in_place;
    out.obj_to_target = tcp_to_target;
    return out;
  }
};
REGISTER_FAMILY("reach-v3", Reach);

struct ReachWall final : Reach {
  using Reach::Reach;

  Outcome evaluate(const Scene& scene) const override {
    Outcome out = Reach::evaluate(scene);
    out.near_object = out.grasp_success = out.grasp_reward = 0.0;
    return out;
  }
};
REGISTER_FAMILY("reach-wall-v3", ReachWall);

}  // namespace metaworld
