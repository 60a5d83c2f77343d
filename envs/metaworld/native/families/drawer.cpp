#include "../family.hpp"

namespace metaworld {

struct DrawerOpen final : Family {
  using Family::Family;
  const Body drawer = body("drawer_link");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(drawer) + Vec3{0.0, -0.16, 0.0}, world.quat(drawer));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double max_dist = 0.2;
    const Vec3 scale = {3.0, 3.0, 1.0};  // so that the gripper may drop onto the handle from above
    const Vec3 gripper = scene.obs_hand(), handle = scene.obs_object(), target = scene[target_pos];
    const double handle_error = norm(handle - target);
    const double opening = tolerance(handle_error, 0, 0.02, max_dist);

    const Vec3 handle_pos_init = target + Vec3{0.0, max_dist, 0.0};
    const double gripper_error = norm((handle - gripper) * scale);
    const double gripper_error_init = norm((handle_pos_init - scene[init_tcp]) * scale);
    const double caging = tolerance(gripper_error, 0, 0.01, gripper_error_init);

    Outcome out;
    out.reward = (caging + opening) * 5.0;
    out.success = handle_error <= 0.03;
    out.near_object = norm(handle - gripper) <= 0.03;
    out.grasp_success = scene.gripper_opening() > 0;
    out.grasp_reward = caging;
    out.in_place_reward = opening;
    out.obj_to_target = handle_error;
    return out;
  }
};
REGISTER_FAMILY("drawer-open-v3", DrawerOpen);

struct DrawerClose final : Family {
  using Family::Family;
  const Body drawer = body("drawer_link");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(drawer) + Vec3{0.0, -0.16, 0.05}, Vec4{0, 0, 0, 0});
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05, handle_reach_radius = 0.005;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double target_to_obj = norm(obj - target);
    const double in_place_margin = std::abs(norm(obj_init - target) - target_radius);
    const double in_place = tolerance(target_to_obj, 0, target_radius, in_place_margin);
    const bool closed = target_to_obj <= target_radius + 0.015;

    const double tcp_to_obj = norm(obj - scene.tcp());
    const double reach_margin = std::abs(norm(obj_init - scene[init_tcp]) - handle_reach_radius);
    const double reach = tolerance(tcp_to_obj, 0, handle_reach_radius, reach_margin, Sigmoid::gaussian);
    const Num gripper_closed = py_min(py_max(0, scene.effort()), 1);
    const Num object_grasped = hamacher_product(reach, gripper_closed);

    Outcome out;
    out.reward = closed ? 10 : (hamacher_product(object_grasped, in_place) * 10).item();
    out.success = closed;
    out.near_object = tcp_to_obj <= 0.01;
    out.grasp_success = 1.0;
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};
REGISTER_FAMILY("drawer-close-v3", DrawerClose);

}  // namespace metaworld
