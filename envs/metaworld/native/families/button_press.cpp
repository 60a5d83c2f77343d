#include "../family.hpp"

namespace metaworld {

// Pressing a button along an axis: what the button-press families and coffee-button share.
struct ButtonFamily : Family {
  using Family::Family;
  const Constant<3> init_tcp = constant3("init_tcp");

  struct Press {
    int axis;             // along which the button moves
    double near_radius;   // how close `near_button` wants the gripper
    double success_dist;  // how far the button may be from its target
    double obj_to_target_init;
  };
  virtual Press press(const World& world) const = 0;
  virtual double reward(double opening, double tcp_to_obj, double near_button, double button_pressed) const {
    const double near = 2 * hamacher_product(opening, near_button);
    return tcp_to_obj <= 0.05 ? near + 8 * button_pressed : near;
  }

  Outcome evaluate(const Scene& scene) const final {
    const Press p = press(scene);
    const Vec3 obj = scene.obs_object();
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double tcp_to_obj_init = norm(obj - scene[init_tcp]);
    const double obj_to_target = std::abs(scene[target_pos][p.axis] - obj[p.axis]);
    const double near_button = tolerance(tcp_to_obj, 0, p.near_radius, tcp_to_obj_init);
    const double button_pressed = tolerance(obj_to_target, 0, 0.005, p.obj_to_target_init);

    Outcome out;
    out.reward = reward(scene.gripper_opening(), tcp_to_obj, near_button, button_pressed);
    out.success = obj_to_target <= p.success_dist;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = scene.gripper_opening() > 0;
    out.grasp_reward = near_button;
    out.in_place_reward = button_pressed;
    out.obj_to_target = obj_to_target;
    return out;
  }
};

// A button on a box, pressed from the front (along y).
struct ButtonPress : ButtonFamily {
  using ButtonFamily::ButtonFamily;
  const Body button = body("button");
  const Scalar obj_to_target_init = scalar("_obj_to_target_init");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(button) + Vec3{0.0, -0.193, 0.0}, world.quat(button));
  }

  Press press(const World& world) const override { return {1, 0.05, 0.02, world[obj_to_target_init]}; }
};
REGISTER_FAMILY("button-press-v3", ButtonPress);

struct ButtonPressWall final : ButtonPress {
  using ButtonPress::ButtonPress;

  Press press(const World& world) const override { return {1, 0.01, 0.03, world[obj_to_target_init]}; }

  double reward(double opening, double tcp_to_obj, double near_button, double button_pressed) const override {
    if (tcp_to_obj > 0.07) return 2 * hamacher_product((1 - opening) / 2.0, near_button);
    return 2 + 2 * (1 + opening) + 4 * (button_pressed * button_pressed);
  }
};
REGISTER_FAMILY("button-press-wall-v3", ButtonPressWall);

// Pressed from above (along z).
struct ButtonPressTopdown : ButtonFamily {
  using ButtonFamily::ButtonFamily;
  const Body button = body("button");
  const Scalar obj_to_target_init = scalar("_obj_to_target_init");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(button) + Vec3{0.0, 0.0, 0.193}, world.quat(button));
  }

  Press press(const World& world) const override { return {2, 0.01, 0.024, world[obj_to_target_init]}; }

  virtual double tcp_closed(double opening) const { return 1 - opening; }

  double reward(double opening, double tcp_to_obj, double near_button, double button_pressed) const override {
    const double near = 5 * hamacher_product(tcp_closed(opening), near_button);
    return tcp_to_obj <= 0.03 ? near + 5 * button_pressed : near;
  }
};
REGISTER_FAMILY("button-press-topdown-v3", ButtonPressTopdown);

struct ButtonPressTopdownWall final : ButtonPressTopdown {
  using ButtonPressTopdown::ButtonPressTopdown;
  double tcp_closed(double opening) const override { return opening; }  // as Meta-World has it
};
REGISTER_FAMILY("button-press-topdown-wall-v3", ButtonPressTopdownWall);

struct CoffeeButton final : ButtonFamily {
  using ButtonFamily::ButtonFamily;
  const Site button = site("buttonStart");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(button), Vec4{1.0, 0.0, 0.0, 0.0});
  }

  Press press(const World&) const override { return {1, 0.05, 0.02, 0.03}; }
};
REGISTER_FAMILY("coffee-button-v3", CoffeeButton);

}  // namespace metaworld
