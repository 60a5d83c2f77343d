#include "../family.hpp"

namespace metaworld {

struct HandlePress : Family {
  using Family::Family;
  const Site handle = site("handleStart");
  const Constant<3> handle_init_pos = constant3("_handle_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(handle), {0.0, 0.0, 0.0, 0.0}); }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.02, handle_radius = 0.02;
    const Vec3 obj = scene.pos(handle), target = scene[target_pos], obj_init = scene[handle_init_pos];
    const double target_to_obj = norm(Vec<1>{obj[2] - target[2]});
    const double target_to_obj_init = norm(Vec<1>{obj_init[2] - target[2]});
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double tcp_to_obj_init = norm(obj_init - scene[init_tcp]);
    const double in_place = tolerance(target_to_obj, 0, target_radius, std::abs(target_to_obj_init - target_radius));
    const double reach = tolerance(tcp_to_obj, 0, handle_radius, std::abs(tcp_to_obj_init - handle_radius));
    const bool success = target_to_obj <= target_radius;

    Outcome out;
    out.reward = (success ? 1.0 : hamacher_product(reach, in_place)) * 10;
    out.success = success;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = 1.0;
    out.grasp_reward = reach;
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};
REGISTER_FAMILY("handle-press-v3", HandlePress);

struct HandlePressSide final : HandlePress {
  using HandlePress::HandlePress;
};
REGISTER_FAMILY("handle-press-side-v3", HandlePressSide);

}  // namespace metaworld
