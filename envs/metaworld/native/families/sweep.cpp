#include "../family.hpp"

namespace metaworld {

// Families that override _gripper_caging_reward alike: gripping means that the pads are close to the object on both
// sides, whatever the effort.
struct Embraced : Family {
  using Family::Family;
  const Geom obj_geom = geom("objGeom");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  struct Embrace { double obj_radius, grip_slack, x_z_success_margin; };

  double caging_reward(const Scene& scene, const Vec3& obj, const Embrace& e) const {
    const double pad_success_margin = 0.05, grip_success_margin = e.obj_radius + e.grip_slack;
    const double right = obj[1] - scene.right_pad()[1], left = scene.left_pad()[1] - obj[1];
    // Meta-World's "initial" pads are views of the current ones.
    const double right_margin = std::abs(std::abs(right) - pad_success_margin);
    const double left_margin = std::abs(std::abs(left) - pad_success_margin);
    const auto between_pads = [&](double upper) {
      return hamacher_product(tolerance(right, e.obj_radius, upper, right_margin),
                              tolerance(left, e.obj_radius, upper, left_margin));
    };

    const double x_z_margin = norm(xz(scene[obj_init_pos]) - xz(scene[init_tcp])) - e.x_z_success_margin;
    const double x_z_caging = tolerance(norm(xz(scene.tcp()) - xz(obj)), 0, e.x_z_success_margin, x_z_margin);

    const double caging = hamacher_product(between_pads(pad_success_margin), x_z_caging);
    const double gripping = caging > 0.95 ? between_pads(grip_success_margin) : 0.0;
    return (caging + gripping) / 2;
  }

  bool grasped(const Scene& scene) const { return scene.touching(obj_geom) && scene.gripper_opening() > 0; }
  bool grasped_and_lifted(const Scene& scene) const {
    return grasped(scene) && scene.obs_object()[2] - 0.02 > scene[obj_init_pos][2];
  }
};

struct SweepAlong : Embraced {
  using Embraced::Embraced;

  Outcome judge(const Scene& scene, const Vec3& target, const Embrace& embrace) const {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object();
    const double obj_to_target = norm(obj - target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double in_place = tolerance(obj_to_target, 0, target_radius, norm(scene[obj_init_pos] - target));
    const double object_grasped = caging_reward(scene, obj, embrace);

    Outcome out;
    out.reward = 2 * object_grasped + 6 * hamacher_product(object_grasped, in_place);
    if (obj_to_target < target_radius) out.reward = 10.0;
    out.success = obj_to_target <= 0.05;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = grasped(scene);
    out.grasp_reward = object_grasped;
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};

struct Sweep final : SweepAlong {
  using SweepAlong::SweepAlong;
  const Body obj = body("obj");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.quat(obj)); }

  Outcome evaluate(const Scene& scene) const override { return judge(scene, scene[target_pos], {0.02, 0.01, 0.005}); }
};
REGISTER_FAMILY("sweep-v3", Sweep);

struct SweepInto final : SweepAlong {
  using SweepAlong::SweepAlong;
  const Body obj = body("obj");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(obj_geom)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 target = {scene[target_pos][0], scene[target_pos][1], scene.obs_object()[2]};
    return judge(scene, target, {0.02, 0.005, 0.01});
  }
};
REGISTER_FAMILY("sweep-into-v3", SweepInto);

struct PushBack final : Embraced {
  using Embraced::Embraced;

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(obj_geom), world.scipy_quat(obj_geom));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos];
    const double tcp_opened = scene.gripper_opening();
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double target_to_obj = norm(obj - target);
    const double target_to_obj_init = norm(scene[obj_init_pos] - target);
    const double in_place = tolerance(target_to_obj, 0, target_radius, target_to_obj_init);
    const double object_grasped = caging_reward(scene, obj, {0.007, 0.003, 0.01});

    Outcome out;
    out.reward = hamacher_product(object_grasped, in_place);
    if (tcp_to_obj < 0.01 && 0 < tcp_opened && tcp_opened < 0.55 && target_to_obj_init - target_to_obj > 0.01) {
      out.reward += 1.0 + 5.0 * in_place;
    }
    if (target_to_obj < target_radius) out.reward = 10.0;
    out.success = target_to_obj <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = grasped_and_lifted(scene);
    out.grasp_reward = object_grasped;
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};
REGISTER_FAMILY("push-back-v3", PushBack);

struct Soccer final : Embraced {
  using Embraced::Embraced;
  const Body ball = body("soccer_ball");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(ball), world.scipy_quat(ball)); }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.07;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos];
    const Vec3 x_scaling = {3.0, 1.0, 1.0};
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double target_to_obj = norm((obj - target) * x_scaling);
    const double rolled = norm((obj - scene[obj_init_pos]) * x_scaling);  // Meta-World's target_to_obj_init
    double in_place = tolerance(target_to_obj, 0, target_radius, rolled);
    const double goal_line = target[1] - 0.1;
    if (obj[1] > goal_line && std::abs(obj[0] - target[0]) > 0.10) {  // past the line, beside the goal
      in_place = clip(in_place - 2 * ((obj[1] - goal_line) / (1 - goal_line)), 0.0, 1.0);
    }
    const double object_grasped = caging_reward(scene, obj, {0.013, 0.01, 0.005});

    Outcome out;
    out.reward = 3 * object_grasped + 6.5 * in_place;
    if (target_to_obj < target_radius) out.reward = 10.0;
    out.obj_to_target = norm(obj - target);
    out.success = out.obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = grasped_and_lifted(scene);
    out.grasp_reward = object_grasped;
    out.in_place_reward = in_place;
    return out;
  }
};
REGISTER_FAMILY("soccer-v3", Soccer);

}  // namespace metaworld
