// hammer, disassemble, assembly: take a tool by its handle, keep it level, bring it to its place.
#include "../family.hpp"

namespace metaworld {

struct Tool : Family {
  struct Traits {
    double handle_length;
    Vec4 level;  // the tool's quaternion when it lies flat
    Caging::Density density;
    double solved_above = -1.0;  // success gives the full reward only if the reward is above this anyway
  };
  struct Placement {
    double reward;
    bool success;
  };

  Tool(const mjModel& model, const Traits& traits) : Family(model), traits(traits) {}
  const Traits traits;
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  virtual Placement placement(const Scene& scene) const = 0;

  Outcome evaluate(const Scene& scene) const override {
    // The caging reward takes objects for spheres; a handle may be held anywhere along x.
    const Vec3 hand = scene.obs_hand();
    Vec3 held = scene.obs_object();
    if (std::abs(held[0] - hand[0]) < traits.handle_length / 2.0) held[0] = hand[0];
    const Caging caging{0.015, 0.02, 0.01, 0.01, 1.0, traits.density};
    const Num grab = gripper_caging_reward(scene.gripper(), held, scene[obj_init_pos], scene[init_tcp], caging);

    const double level = std::max(1.0 - norm(read<4>(scene.obs + 7) - traits.level) / 0.4, 0.0);
    const Placement placed = placement(scene);
    Num reward = (2.0 * grab + 6.0 * placed.reward) * level;
    if (placed.success && reward > traits.solved_above) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = placed.success;
    out.near_object = level;
    out.grasp_success = grab >= 0.5;
    out.grasp_reward = grab.item();
    out.in_place_reward = placed.reward;
    out.obj_to_target = 0;
    return out;
  }
};

struct Hammer final : Tool {
  explicit Hammer(const mjModel& model) : Tool(model, {0.14, {1.0, 0.0, 0.0, 0.0}, Caging::kHigh, 5.0}) {}
  const Body hammer = body("hammer"), nail = body("nail_link");
  const Joint nail_slide = joint("NailSlideJoint");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(hammer), world.quat(hammer));
    out.add(world.pos(nail), world.quat(nail));
  }

  Placement placement(const Scene& scene) const override {
    const Vec3 head = scene.obs_object() + Vec3{0.16, 0.06, 0.0};
    const double lifted = head[2] > 0.02;
    const double in_place = tolerance(norm(scene[target_pos] - head), 0, 0.02, 0.2);
    return {0.1 * lifted + 0.9 * in_place, scene.qpos(nail_slide) > 0.09};
  }
};
REGISTER_FAMILY("hammer-v3", Hammer);

struct Wrench : Tool {
  Wrench(const mjModel& model, Caging::Density density) : Tool(model, {0.02, {0.707, 0, 0, 0.707}, density}) {}
  const Body nut = body("RoundNut");
  const Site nut_center = site("RoundNut"), handle = site("RoundNut-8");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(handle), world.quat(nut)); }
};

struct Disassemble final : Wrench {
  explicit Disassemble(const mjModel& model) : Wrench(model, Caging::kHigh) {}

  Placement placement(const Scene& scene) const override {
    const Vec3 center = scene.pos(nut_center), target = scene[target_pos];
    const double lifted = center[2] > 0.02;
    const double in_place = tolerance(norm(target + Vec3{0.0, 0.0, 0.1} - center), 0, 0.02, 0.2);
    return {0.1 * lifted + 0.9 * in_place, scene.obs_object()[2] > target[2]};
  }
};
REGISTER_FAMILY("disassemble-v3", Disassemble);

struct Assembly final : Wrench {
  explicit Assembly(const mjModel& model) : Wrench(model, Caging::kMedium) {}

  Placement placement(const Scene& scene) const override {
    const Vec3 center = scene.pos(nut_center);
    Vec3 error = scene[target_pos] - center;
    const double radius = norm(xy(error));
    const bool success = radius < 0.02 && error[2] > 0.0;

    // The height to be at is a funnel around the peg, wider once the nut is on it.
    const double threshold = success ? 0.02 : 0.01;
    const double height = radius > threshold ? 0.02 * std::log(radius - threshold) + 0.2 : 0.0;
    error[2] = height - center[2];
    const double lifted = center[2] > 0.02 || radius < threshold;
    const double in_place = tolerance(norm(error * Vec3{1.0, 1.0, 3.0}), 0, 0.02, 0.4);
    return {0.1 * lifted + 0.9 * in_place, success};
  }
};
REGISTER_FAMILY("assembly-v3", Assembly);

}  // namespace metaworld
