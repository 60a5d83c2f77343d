#include "../family.hpp"

namespace metaworld {

struct PickOutOfHole final : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.quat(obj)); }

  // Whether the hand keeps clear of the hole's edge: above a funnel-shaped floor around the hole.
  static double above_funnel(const Vec3& tcp, const Vec3& hole) {
    const double threshold = 0.03;
    const double radius = norm(xy(tcp) - xy(hole));
    const double floor = radius <= threshold ? 0.0 : 0.015 * std::log(radius - threshold) + 0.15;
    return tcp[2] >= floor ? 1.0 : tolerance(floor - tcp[2], 0.0, 0.01, 0.02);
  }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double obj_to_target = norm(obj - target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double in_place = tolerance(obj_to_target, 0, 0.02, norm(obj_init - target));

    Caging caging;
    caging.object_reach_radius = 0.01;
    caging.obj_radius = 0.015;
    caging.pad_success_thresh = 0.02;
    caging.xz_thresh = 0.03;
    caging.desired_gripper_effort = 0.1;
    caging.density = Caging::kHigh;
    const Num object_grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);

    const bool lifted = obj[2] - 0.02 > obj_init[2];
    const bool pinched_without_obj = scene.gripper_opening() < 0.33;
    const bool grasp_success = tcp_to_obj < 0.04 && lifted && !pinched_without_obj;

    Num reward = hamacher_product(object_grasped, in_place);
    if (grasp_success) reward = reward + (1.0 + 5.0 * hamacher_product(in_place, above_funnel(scene.tcp(), obj_init)));
    if (obj_to_target < 0.05) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = grasp_success;
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("pick-out-of-hole-v3", PickOutOfHole);

}  // namespace metaworld
