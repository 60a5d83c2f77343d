#include "../family.hpp"

namespace metaworld {

struct ButtonPressTopdown final : Family {
  using Family::Family;
  const Body button = body("button");
  const Constant<3> init_tcp = constant3("init_tcp");
  const Scalar obj_to_target_init = scalar("_obj_to_target_init");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(button) + Vec3{0.0, 0.0, 0.193}, world.quat(button));
  }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object();
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double tcp_to_obj_init = norm(obj - scene[init_tcp]);
    const double obj_to_target = std::abs(scene[target_pos][2] - obj[2]);
    const double tcp_closed = 1 - scene.gripper_opening();
    const double near_button = tolerance(tcp_to_obj, 0, 0.01, tcp_to_obj_init);
    const double button_pressed = tolerance(obj_to_target, 0, 0.005, scene[obj_to_target_init]);

    Outcome out;
    out.reward = 5 * hamacher_product(tcp_closed, near_button);
    if (tcp_to_obj <= 0.03) out.reward += 5 * button_pressed;
    out.success = obj_to_target <= 0.024;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = scene.gripper_opening() > 0;
    out.grasp_reward = near_button;
    out.in_place_reward = button_pressed;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("button-press-topdown-v3", ButtonPressTopdown);

}  // namespace metaworld
