#include "../family.hpp"

namespace metaworld {

struct PickPlace final : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Geom obj_geom = geom("objGeom");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(obj_geom)); }

  Num caging_reward(const Scene& scene, const Vec3& obj_pos) const {
    const double pad_success_margin = 0.05, x_z_success_margin = 0.005, obj_radius = 0.015;
    const Vec3 left_pad = scene.left_pad(), right_pad = scene.right_pad();
    // Meta-World's "initial" pads are views of the current ones.
    const double right_margin = std::abs(std::abs(obj_pos[1] - right_pad[1]) - pad_success_margin);
    const double left_margin = std::abs(std::abs(obj_pos[1] - left_pad[1]) - pad_success_margin);
    const double right_caging = tolerance(obj_pos[1] - right_pad[1], obj_radius, pad_success_margin, right_margin);
    const double left_caging = tolerance(left_pad[1] - obj_pos[1], obj_radius, pad_success_margin, left_margin);
    const double y_caging = hamacher_product(left_caging, right_caging);

    const auto without_y = [](const Vec3& a) { return a + Vec3{0.0, -a[1], 0.0}; };
    const double tcp_to_obj = norm(without_y(scene.tcp()) - without_y(obj_pos));
    const double margin = norm(without_y(scene[obj_init_pos]) - without_y(scene[init_tcp])) - x_z_success_margin;
    const double x_z_caging = tolerance(tcp_to_obj, 0, x_z_success_margin, margin);

    const Num gripper_closed = py_min(py_max(0, scene.effort()), 1);
    const double caging = hamacher_product(y_caging, x_z_caging);
    const Num gripping = caging > 0.97 ? gripper_closed : Num(0.0);
    return (hamacher_product(caging, gripping) + caging) / 2;
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double obj_to_target = norm(obj - target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double in_place = tolerance(obj_to_target, 0, target_radius, norm(obj_init - target));
    const Num object_grasped = caging_reward(scene, obj);

    Num reward = hamacher_product(object_grasped, in_place);
    if (tcp_to_obj < 0.02 && scene.gripper_opening() > 0 && obj[2] - 0.01 > obj_init[2]) {
      reward = reward + (1.0 + 5.0 * in_place);
    }
    if (obj_to_target < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = scene.touching(obj_geom) && scene.gripper_opening() > 0 && obj[2] - 0.02 > obj_init[2];
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("pick-place-v3", PickPlace);

}  // namespace metaworld
