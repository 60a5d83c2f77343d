#include "../family.hpp"

namespace metaworld {

struct PegUnplugSide final : Family {
  using Family::Family;
  const Body plug = body("plug1");
  const Site peg_end = site("pegEnd");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(peg_end), world.quat(plug)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double obj_to_target = norm(obj - target);
    const double in_place = tolerance(obj_to_target, 0, 0.05, norm(obj_init - target));
    const bool grasp_success = scene.gripper_opening() > 0.5 && obj[0] - obj_init[0] > 0.015;

    const Caging caging{0.025, 0.05, 0.01, 0.005, 0.8, Caging::kHigh};
    const Num grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);
    Num reward = 2 * grasped;
    if (grasp_success && tcp_to_obj < 0.035) reward = 1 + 2 * grasped + 5 * in_place;
    if (obj_to_target <= 0.05) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = grasp_success;
    out.grasp_reward = grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("peg-unplug-side-v3", PegUnplugSide);

}  // namespace metaworld
