#include "../family.hpp"

namespace metaworld {

// Sliding a window along x.
struct WindowFamily : Family {
  WindowFamily(const mjModel& model, const char* handle_site, Sigmoid reach_sigmoid)
      : Family(model), handle(site(handle_site)), reach_sigmoid(reach_sigmoid) {}
  const Site handle;
  const Sigmoid reach_sigmoid;
  const Constant<3> window_handle_pos_init = constant3("window_handle_pos_init");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(handle), Vec4{0, 0, 0, 0}); }

  // Where target_to_obj starts from, as a point.
  virtual Vec3 obj_init(const World& world) const = 0;

  Outcome evaluate(const Scene& scene) const final {
    const double target_radius = 0.05, handle_radius = 0.02;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos];
    const double target_to_obj = std::abs(obj[0] - target[0]);
    const double in_place_margin = std::abs(std::abs(obj_init(scene)[0] - target[0]) - target_radius);
    const double in_place = tolerance(target_to_obj, 0, target_radius, in_place_margin);

    const double tcp_to_obj = norm(obj - scene.tcp());
    const double reach_margin = std::abs(norm(scene[window_handle_pos_init] - scene[init_tcp]) - handle_radius);
    const double reach = tolerance(tcp_to_obj, 0, handle_radius, reach_margin, reach_sigmoid);

    Outcome out;
    out.reward = 10 * hamacher_product(reach, in_place);
    out.success = target_to_obj <= target_radius;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = 1.0;
    out.grasp_reward = reach;
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};

struct WindowOpen final : WindowFamily {
  explicit WindowOpen(const mjModel& model) : WindowFamily(model, "handleOpenStart", Sigmoid::long_tail) {}
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  Vec3 obj_init(const World& world) const override { return world[obj_init_pos]; }
};
REGISTER_FAMILY("window-open-v3", WindowOpen);

struct WindowClose final : WindowFamily {
  explicit WindowClose(const mjModel& model) : WindowFamily(model, "handleCloseStart", Sigmoid::gaussian) {}
  Vec3 obj_init(const World& world) const override { return world[window_handle_pos_init]; }
};
REGISTER_FAMILY("window-close-v3", WindowClose);

}  // namespace metaworld
