#include "../family.hpp"

namespace metaworld {

struct ShelfPlace final : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Geom obj_geom = geom("objGeom");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(obj_geom)); }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double obj_to_target = norm(obj - target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const bool opened = scene.gripper_opening() > 0;
    Num in_place = tolerance(obj_to_target, 0, target_radius, norm(obj_init - target));

    const Caging caging{0.02, 0.05, 0.01, 0.01};
    const Num grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);
    Num reward = hamacher_product(grasped, in_place);

    // No credit for being near the goal below the shelf: less and less in front of it, none behind that.
    const bool below = 0.0 < obj[2] && obj[2] < 0.24 && target[0] - 0.15 < obj[0] && obj[0] < target[0] + 0.15;
    const double front = target[1] - 3 * target_radius;
    if (below && front < obj[1] && obj[1] < target[1]) {
      const double z_scaling = (0.24 - obj[2]) / 0.24;
      const double y_scaling = (obj[1] - front) / (3 * target_radius);
      in_place = clip(in_place - float64(hamacher_product(y_scaling, z_scaling)), 0.0, 1.0);
    }
    if (below && obj[1] > target[1]) in_place = 0.0;

    if (tcp_to_obj < 0.025 && opened && obj[2] - 0.01 > obj_init[2]) reward = reward + (1.0 + 5.0 * in_place);
    if (obj_to_target < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = scene.touching(obj_geom) && opened && obj[2] - 0.02 > obj_init[2];
    out.grasp_reward = grasped.item();
    out.in_place_reward = in_place.item();
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("shelf-place-v3", ShelfPlace);

}  // namespace metaworld
