#include "../family.hpp"

namespace metaworld {

// The gripper brings a puck to its goal.
struct Bring : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Geom obj_geom = geom("objGeom");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  // The reward short of the goal; `held`: the gripper is at the object and open.
  virtual Num on_the_way(const Num& object_grasped, double in_place, bool held) const = 0;

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double target_to_obj = norm(obj - target);
    const double in_place = tolerance(target_to_obj, 0, target_radius, norm(obj_init - target));

    Caging caging;
    caging.object_reach_radius = 0.01;
    caging.obj_radius = 0.015;
    caging.pad_success_thresh = 0.05;
    caging.xz_thresh = 0.005;
    caging.density = Caging::kHigh;
    const Num object_grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);

    const bool held = tcp_to_obj < 0.02 && scene.gripper_opening() > 0;
    const Num reward = target_to_obj < target_radius ? Num(10.0) : on_the_way(object_grasped, in_place, held);

    Outcome out;
    out.reward = reward.item();
    out.success = target_to_obj <= target_radius;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = scene.touching(obj_geom) && scene.gripper_opening() > 0 && obj[2] - 0.02 > obj_init[2];
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};

struct Push final : Bring {
  using Bring::Bring;

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(obj_geom)); }

  Num on_the_way(const Num& object_grasped, double in_place, bool held) const override {
    const Num reward = 2 * object_grasped;
    return held ? reward + (1.0 + reward + 5.0 * in_place) : reward;
  }
};
REGISTER_FAMILY("push-v3", Push);

struct HandInsert final : Bring {
  using Bring::Bring;

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.quat(obj)); }

  Num on_the_way(const Num& object_grasped, double in_place, bool held) const override {
    const Num reward = hamacher_product(object_grasped, in_place);
    return held ? reward + (1.0 + 7.0 * in_place) : reward;
  }
};
REGISTER_FAMILY("hand-insert-v3", HandInsert);

}  // namespace metaworld
