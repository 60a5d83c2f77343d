#include "../family.hpp"

namespace metaworld {

// push-wall and pick-place-wall bring the object past a wall: first to a midpoint beside or above it, then to the goal.
struct PastWall : Family {
  using Family::Family;
  const Geom obj_geom = geom("objGeom");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(obj_geom), world.scipy_quat(obj_geom));
  }

  struct Way {
    Vec3 midpoint, in_place_scaling;
    Caging::Density density;
  };
  virtual Way way(const Vec3& obj, const Vec3& target) const = 0;
  virtual Num hold_reward(Num object_grasped, double in_place_part1) const = 0;
  virtual bool lifted(const Vec3& obj, const Vec3& obj_init) const = 0;

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const Way w = way(obj, target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double obj_to_midpoint = norm((obj - w.midpoint) * w.in_place_scaling);
    const double obj_to_midpoint_init = norm((obj_init - w.midpoint) * w.in_place_scaling);
    const double obj_to_target = norm(obj - target);
    const double in_place_part1 = tolerance(obj_to_midpoint, 0, target_radius, obj_to_midpoint_init);
    const double in_place_part2 = tolerance(obj_to_target, 0, target_radius, norm(obj_init - target));

    Caging caging;
    caging.object_reach_radius = 0.01;
    caging.obj_radius = 0.015;
    caging.pad_success_thresh = 0.05;
    caging.xz_thresh = 0.005;
    caging.density = w.density;
    const Num object_grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);

    const Num hold = hold_reward(object_grasped, in_place_part1);
    Num reward = hold;
    if (tcp_to_obj < 0.02 && scene.gripper_opening() > 0 && lifted(obj, obj_init)) {
      reward = obj[1] > 0.75 ? hold + 1.0 + 4.0 + 3.0 * in_place_part2 : hold + 1.0 + 4.0 * in_place_part1;
    }
    if (obj_to_target < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = scene.touching(obj_geom) && scene.gripper_opening() > 0 && obj[2] - 0.02 > obj_init[2];
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place_part2;
    out.obj_to_target = obj_to_target;
    return out;
  }
};

struct PushWall final : PastWall {
  using PastWall::PastWall;
  Way way(const Vec3& obj, const Vec3&) const override {
    return {{-0.05, 0.77, obj[2]}, {3.0, 1.0, 1.0}, Caging::kHigh};
  }
  Num hold_reward(Num object_grasped, double) const override { return 2 * object_grasped; }
  bool lifted(const Vec3&, const Vec3&) const override { return true; }
};
REGISTER_FAMILY("push-wall-v3", PushWall);

struct PickPlaceWall final : PastWall {
  using PastWall::PastWall;
  Way way(const Vec3&, const Vec3& target) const override {
    return {{target[0], 0.77, 0.25}, {1.0, 1.0, 3.0}, Caging::kPlain};
  }
  Num hold_reward(Num object_grasped, double in_place_part1) const override {
    return hamacher_product(object_grasped, in_place_part1);
  }
  bool lifted(const Vec3& obj, const Vec3& obj_init) const override { return obj[2] - 0.015 > obj_init[2]; }
};
REGISTER_FAMILY("pick-place-wall-v3", PickPlaceWall);

}  // namespace metaworld
