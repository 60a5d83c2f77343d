#include "../family.hpp"

namespace metaworld {

struct DoorClose final : Family {
  using Family::Family;
  const Geom handle = geom("handle");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> hand_init_pos = constant3("hand_init_pos");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(handle), world.scipy_quat(handle));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos];
    const double tcp_to_target = norm(scene.tcp() - target);
    const double obj_to_target = norm(obj - target);
    const double in_place_margin = norm(scene[obj_init_pos] - target);
    const double in_place = tolerance(obj_to_target, 0, target_radius, in_place_margin, Sigmoid::gaussian);
    const double hand_margin = norm(scene[hand_init_pos] - obj) + 0.1;
    const double hand_in_place = tolerance(tcp_to_target, 0, 0.25 * target_radius, hand_margin, Sigmoid::gaussian);

    Outcome out;
    out.reward = obj_to_target < target_radius ? 10 : 3 * hand_in_place + 6 * in_place;
    out.success = obj_to_target <= 0.08;
    out.near_object = 0.0;
    out.grasp_success = 1.0;
    out.grasp_reward = 1.0;
    out.in_place_reward = hand_in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("door-close-v3", DoorClose);

}  // namespace metaworld
