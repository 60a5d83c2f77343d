#include "../family.hpp"

namespace metaworld {

struct BoxClose final : Family {
  using Family::Family;
  const Body lid = body("top_link");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(lid), world.quat(lid)); }

  // How ready the hand is to lift the lid: at its handle, having come there over a funnel-shaped floor.
  static double ready_to_lift(const Vec3& hand, const Vec3& handle) {
    const double threshold = 0.02;
    const double radius = norm(xy(hand) - xy(handle));
    const double floor = radius <= threshold ? 0.0 : 0.04 * std::log(radius - threshold) + 0.4;
    const double above_floor = hand[2] >= floor ? 1.0 : tolerance(floor - hand[2], 0.0, 0.01, floor / 2.0);
    const double in_place = tolerance(norm(hand - handle), 0, 0.02, 0.5);
    return hamacher_product(above_floor, in_place);
  }

  static double lifted(const Vec3& handle, const Vec3& target) {
    const double in_place = tolerance(norm((target - handle) * Vec3{1.0, 1.0, 3.0}), 0, 0.05, 0.25);
    return 0.2 * (handle[2] > 0.04 ? 1.0 : 0.0) + 0.8 * in_place;
  }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 target = scene[target_pos];
    const Vec3 handle = scene.obs_object() + Vec3{0.0, 0.0, 0.02};
    const double grab = clip((clip(scene.effort(), -1, 1) + 1.0) / 2.0, 0.0, 1.0).item();
    const double upright = std::max(1.0 - norm(read<4>(scene.obs + 7) - Vec4{0.707, 0, 0, 0.707}) / 0.2, 0.0);
    const double ready = ready_to_lift(scene.obs_hand(), handle);
    const double closed = lifted(handle, target);
    const bool success = norm(scene.obs_object() - target) < 0.08;

    Outcome out;
    out.reward = (success ? 10.0 : 2.0 * hamacher_product(grab, ready) + 8.0 * closed) * upright;
    out.success = success;
    out.near_object = ready;
    out.grasp_success = grab >= 0.5;
    out.grasp_reward = grab;
    out.in_place_reward = closed;
    out.obj_to_target = 0;
    return out;
  }
};
REGISTER_FAMILY("box-close-v3", BoxClose);

}  // namespace metaworld
