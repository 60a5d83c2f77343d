#include "engine.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace mjcf {

namespace {

#define DATA_ARRAY(array, count) {#array, [](const mjModel& m) { return static_cast<int>(count); }, &mjData::array}
const Feature kFeatures[] = {
    DATA_ARRAY(qpos, m.nq),
    DATA_ARRAY(qvel, m.nv),
    DATA_ARRAY(qacc, m.nv),
    DATA_ARRAY(act, m.na),
    DATA_ARRAY(xpos, 3 * m.nbody),
    DATA_ARRAY(xquat, 4 * m.nbody),
    DATA_ARRAY(xmat, 9 * m.nbody),
    DATA_ARRAY(xipos, 3 * m.nbody),
    DATA_ARRAY(geom_xpos, 3 * m.ngeom),
    DATA_ARRAY(geom_xmat, 9 * m.ngeom),
    DATA_ARRAY(site_xpos, 3 * m.nsite),
    DATA_ARRAY(site_xmat, 9 * m.nsite),
    DATA_ARRAY(subtree_com, 3 * m.nbody),
    DATA_ARRAY(cinert, 10 * m.nbody),
    DATA_ARRAY(cvel, 6 * m.nbody),
    DATA_ARRAY(actuator_force, m.nu),
    DATA_ARRAY(qfrc_actuator, m.nv),
    DATA_ARRAY(cfrc_ext, 6 * m.nbody),
    DATA_ARRAY(sensordata, m.nsensordata),
};
#undef DATA_ARRAY

}  // namespace

Robot::Robot(const mjModel* source, std::shared_ptr<void> owner, int substeps, const std::vector<std::string>& features,
             const std::vector<std::string>& parameters, bool up_to_date)
    : owner(std::move(owner)),
      model(physics::lean(*source)),
      substeps(substeps),
      features(physics::pick(kFeatures, features)),
      parameters(physics::pick(physics::kParameters, parameters)),
      reads_contact_forces(std::find(features.begin(), features.end(), "cfrc_ext") != features.end()),
      up_to_date(up_to_date),
      same_frame(std::max({source->nbody, source->ngeom, source->nsite}), 0),
      scratch_bytes(up_to_date ? std::max<size_t>(source->narena, physics::Scratch::kBytes) : physics::Scratch::kBytes) {
  // Bytes that say of what lies in the middle of its body that its place need not be read.
  for (const auto& parameter : this->parameters) {
    if (parameter.array == &mjModel::body_ipos) this->model.body_sameframe = same_frame.data();
    if (parameter.array == &mjModel::geom_pos) this->model.geom_sameframe = same_frame.data();
    if (parameter.array == &mjModel::site_pos) this->model.site_sameframe = same_frame.data();
  }
}

std::vector<std::pair<std::string, int>> Robot::feature_sizes() const { return physics::sizes(features, model); }
std::vector<std::pair<std::string, int>> Robot::parameter_sizes() const { return physics::sizes(parameters, model); }
int Robot::num_features() const { return physics::total(features, model); }
int Robot::num_parameters() const { return physics::total(parameters, model); }

Engine::Engine(std::shared_ptr<const Robot> robot, int size, int threads)
    : robot_(std::move(robot)), slots_(size), pool_(threads) {
  const std::vector<double> original = physics::values(robot_->parameters, robot_->model);
  for (auto& slot : slots_) {
    slot.simulation = physics::Simulation(robot_->scratch_bytes);
    slot.next = original;
    slot.model = robot_->model;
  }
}

void Engine::assign(int i, const std::vector<double>& parameters) {
  physics::require_total(robot_->parameters, robot_->model, parameters.size());
  slots_.at(i).next = parameters;
}

void Engine::reset(const bool* mask, const double* qpos, const double* qvel, double* features) {
  // In this thread, because the allocation of simulations may throw.
  for (int i = 0; i < size(); i++) {
    if (mask[i]) start(slots_[i], qpos + robot_->model.nq * i, qvel + robot_->model.nv * i, features + robot_->num_features() * i);
  }
}

// The model of `slot` is the one with the parameters that were assigned to it last.
void Engine::take_parameters(Slot& slot) const {
  slot.parameters = slot.next;
  physics::point(slot.model, robot_->parameters, slot.parameters.data());
}

void Engine::start(Slot& slot, const double* qpos, const double* qvel, double* features) const {
  take_parameters(slot);
  slot.simulation.start(&slot.model, robot_.get(), qpos, qvel, [&] { read(slot, features); });
  slot.started = true;
}

void Engine::step(const double* ctrl, const bool* active, double* features) {
  require_started(active);
  const int num_features = robot_->num_features(), nu = robot_->model.nu;
  pool_.for_each(size(), [&](int i) {
    if (!active[i]) return;
    Slot& slot = slots_[i];
    mjData* d = slot.simulation.data();
    std::copy_n(ctrl + nu * i, nu, d->ctrl);
    slot.simulation.run(robot_->substeps, [&] {
      if (robot_->reads_contact_forces) mj_rnePostConstraint(&slot.model, d);
      if (robot_->up_to_date) mj_kinematics(&slot.model, d);
      read(slot, features + num_features * i);
    });
  });
}

void Engine::read(const Slot& slot, double* features) const {
  const mjData* d = slot.simulation.data();
  const bool sound = !robot_->up_to_date || slot.simulation.is_sound();
  for (const auto& feature : robot_->features) {
    const int size = feature.size(slot.model);
    features = sound ? std::copy_n(d->*(feature.array), size, features)
                     : std::fill_n(features, size, std::numeric_limits<double>::quiet_NaN());
  }
}

void Engine::require_started(const bool* mask) const {
  for (int i = 0; i < size(); i++) {
    if (mask[i] && !slots_[i].started) throw std::logic_error("environment " + std::to_string(i) + " was never reset");
  }
}

std::vector<double> Engine::state(int i) const {
  const Slot& slot = slots_.at(i);
  if (!slot.started) throw std::logic_error("environment " + std::to_string(i) + " was never reset");
  return physics::get_state(slot.simulation.model(), slot.simulation.data());
}

void Engine::load(int i, const std::vector<double>& state) {
  Slot& slot = slots_.at(i);
  const size_t size = mj_stateSize(&robot_->model, physics::kState);
  if (state.size() != size) {
    throw std::invalid_argument("a state has " + std::to_string(size) + " numbers, got " + std::to_string(state.size()));
  }
  take_parameters(slot);
  slot.simulation.load(&slot.model, robot_.get(), state.data());
  slot.started = true;
}

}  // namespace mjcf
