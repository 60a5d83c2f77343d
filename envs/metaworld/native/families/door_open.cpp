#include "../family.hpp"

namespace metaworld {

struct DoorOpen final : Family {
  using Family::Family;
  const Geom handle = geom("handle");
  const Joint hinge = joint("doorjoint");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(handle), world.scipy_quat(handle));
  }

  // How ready the hand is to open the door: behind the handle, having come there over a funnel-shaped floor.
  static double ready_to_open(const Vec3& hand, const Vec3& handle) {
    const Vec3 door = handle + Vec3{-0.05, 0, 0};
    const double threshold = 0.12;
    const double radius = norm(xy(hand) - xy(door));
    const double floor = radius <= threshold ? 0.0 : 0.04 * std::log(radius - threshold) + 0.4;
    const double above_floor = hand[2] >= floor ? 1.0 : tolerance(floor - hand[2], 0.0, 0.01, floor / 2.0);
    const double in_place = tolerance(norm(hand - door - Vec3{0.05, 0.03, -0.01}), 0, threshold / 2.0, 0.5);
    return hamacher_product(above_floor, in_place);
  }

  static double opened(double theta) {
    const double pi = 3.14159265358979323846;
    return 0.2 * (theta < -pi / 90.0 ? 1.0 : 0.0) +
           0.8 * tolerance(pi / 2.0 + pi / 6 - -theta, 0, 0.5, pi / 3.0);
  }

  Outcome evaluate(const Scene& scene) const override {
    const double grab = ((clip(scene.effort(), -1, 1) + 1.0) / 2.0).item();
    const double ready = ready_to_open(scene.obs_hand(), scene.obs_object());
    const double open = opened(scene.qpos(hinge));
    const bool success = std::abs(scene.obs[4] - scene[target_pos][0]) <= 0.08;

    Outcome out;
    out.reward = success ? 10.0 : 2.0 * hamacher_product(ready, grab) + 8.0 * open;
    out.success = success;
    out.near_object = ready;
    out.grasp_success = grab >= 0.5;
    out.grasp_reward = grab;
    out.in_place_reward = open;
    out.obj_to_target = 0;
    return out;
  }
};
REGISTER_FAMILY("door-open-v3", DoorOpen);

}  // namespace metaworld
