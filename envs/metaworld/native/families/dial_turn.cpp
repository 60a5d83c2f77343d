#include "../family.hpp"

namespace metaworld {

struct DialTurn final : Family {
  using Family::Family;
  const Body dial = body("dial");
  const Joint knob = joint("knob_Joint_1");
  const Constant<3> dial_push_position_init = constant3("dial_push_position");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    const double angle = world.qpos(knob), radius = 0.05;
    out.add(world.pos(dial) + Vec3{std::sin(angle) * radius, -std::cos(angle) * radius, 0.0}, world.quat(dial));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.07, dial_reach_radius = 0.005;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], push_init = scene[dial_push_position_init];
    const Vec3 dial_push_position = obj + Vec3{0.05, 0.02, 0.09};
    const double target_to_obj = norm(obj - target);
    const double in_place_margin = std::abs(norm(push_init - target) - target_radius);
    const double in_place = tolerance(target_to_obj, 0, target_radius, in_place_margin);

    const double tcp_to_obj = norm(dial_push_position - scene.tcp());
    const double reach_margin = std::abs(norm(push_init - scene[init_tcp]) - dial_reach_radius);
    const double reach = tolerance(tcp_to_obj, 0, dial_reach_radius, reach_margin, Sigmoid::gaussian);
    const Num gripper_closed = py_min(py_max(0, scene.effort()), 1);
    const Num object_grasped = hamacher_product(reach, gripper_closed);

    Outcome out;
    out.reward = (10 * hamacher_product(object_grasped, in_place)).item();
    out.success = target_to_obj <= target_radius;
    out.near_object = tcp_to_obj <= 0.01;
    out.grasp_success = 1.0;
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};
REGISTER_FAMILY("dial-turn-v3", DialTurn);

}  // namespace metaworld
