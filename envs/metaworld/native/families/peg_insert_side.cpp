#include "../family.hpp"

namespace metaworld {

struct PegInsertSide final : Family {
  using Family::Family;
  const Site grasp = site("pegGrasp"), head = site("pegHead");
  // Opposite corners of two prisms in which the peg would run into the box.
  const Site bottom_right_1 = site("bottom_right_corner_collision_box_1");
  const Site top_left_1 = site("top_left_corner_collision_box_1");
  const Site bottom_right_2 = site("bottom_right_corner_collision_box_2");
  const Site top_left_2 = site("top_left_corner_collision_box_2");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");
  const Constant<3> peg_head_pos_init = constant3("peg_head_pos_init");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(grasp), world.scipy_quat(grasp)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object(), peg_head = scene.pos(head);
    const Vec3 target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double tcp_to_obj = norm(obj - scene.tcp());
    const Vec3 scale = {1.0, 2.0, 2.0};
    const double obj_to_target = norm((peg_head - target) * scale);
    const double at_target = tolerance(obj_to_target, 0, 0.07, norm((scene[peg_head_pos_init] - target) * scale));
    const double box_1 = rect_prism_tolerance(peg_head, scene.pos(bottom_right_1), scene.pos(top_left_1));
    const double box_2 = rect_prism_tolerance(peg_head, scene.pos(bottom_right_2), scene.pos(top_left_2));
    const double in_place = hamacher_product(at_target, hamacher_product(box_2, box_1));

    const bool held = scene.gripper_opening() > 0 && obj[2] - 0.01 > obj_init[2];
    const Caging caging{0.0075, 0.03, 0.01, 0.005, 1.0, Caging::kHigh};
    Num grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);
    if (tcp_to_obj < 0.08 && held) grasped = 1.0;
    Num reward = hamacher_product(grasped, in_place);
    if (tcp_to_obj < 0.08 && held) reward = reward + (1.0 + 5 * in_place);
    if (obj_to_target <= 0.07) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = tcp_to_obj < 0.02 && held;
    out.grasp_reward = grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("peg-insert-side-v3", PegInsertSide);

}  // namespace metaworld
