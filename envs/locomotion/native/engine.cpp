#include "engine.hpp"

#include <algorithm>
#include <stdexcept>

namespace locomotion {

namespace {

const Feature kFeatures[] = {
    {"qpos", [](const mjModel& m) { return static_cast<int>(m.nq); }, &mjData::qpos},
    {"qvel", [](const mjModel& m) { return static_cast<int>(m.nv); }, &mjData::qvel},
    {"xpos", [](const mjModel& m) { return static_cast<int>(3 * m.nbody); }, &mjData::xpos},
    {"xipos", [](const mjModel& m) { return static_cast<int>(3 * m.nbody); }, &mjData::xipos},
    {"cinert", [](const mjModel& m) { return static_cast<int>(10 * m.nbody); }, &mjData::cinert},
    {"cvel", [](const mjModel& m) { return static_cast<int>(6 * m.nbody); }, &mjData::cvel},
    {"qfrc_actuator", [](const mjModel& m) { return static_cast<int>(m.nv); }, &mjData::qfrc_actuator},
    {"cfrc_ext", [](const mjModel& m) { return static_cast<int>(6 * m.nbody); }, &mjData::cfrc_ext},
};

const Parameter kParameters[] = {
    {"body_mass", [](const mjModel& m) { return static_cast<int>(m.nbody); }, &mjModel::body_mass},
    {"body_inertia", [](const mjModel& m) { return static_cast<int>(3 * m.nbody); }, &mjModel::body_inertia},
    {"dof_damping", [](const mjModel& m) { return static_cast<int>(m.nv); }, &mjModel::dof_damping},
    {"geom_friction", [](const mjModel& m) { return static_cast<int>(3 * m.ngeom); }, &mjModel::geom_friction},
};

template <class Row, size_t N>
std::vector<Row> pick(const Row (&table)[N], const std::vector<std::string>& names) {
  std::vector<Row> rows;
  for (const auto& name : names) {
    const auto found = std::find_if(table, table + N, [&](const Row& row) { return row.name == name; });
    if (found == table + N) throw std::invalid_argument("the engine has no array " + name);
    rows.push_back(*found);
  }
  return rows;
}

template <class Row>
std::vector<std::pair<std::string, int>> sizes(const std::vector<Row>& rows, const mjModel& model) {
  std::vector<std::pair<std::string, int>> out;
  for (const auto& row : rows) out.emplace_back(row.name, row.size(model));
  return out;
}

template <class Row>
int total(const std::vector<Row>& rows, const mjModel& model) {
  int sum = 0;
  for (const auto& row : rows) sum += row.size(model);
  return sum;
}

}  // namespace

Robot::Robot(const mjModel* source, std::shared_ptr<void> owner, int substeps, const std::vector<std::string>& features,
             const std::vector<std::string>& parameters)
    : owner(std::move(owner)),
      model(physics::lean(*source)),
      substeps(substeps),
      features(pick(kFeatures, features)),
      parameters(pick(kParameters, parameters)),
      reads_contact_forces(std::find(features.begin(), features.end(), "cfrc_ext") != features.end()) {}

std::vector<std::pair<std::string, int>> Robot::feature_sizes() const { return sizes(features, model); }
std::vector<std::pair<std::string, int>> Robot::parameter_sizes() const { return sizes(parameters, model); }
int Robot::num_features() const { return total(features, model); }
int Robot::num_parameters() const { return total(parameters, model); }

Engine::Engine(std::shared_ptr<const Robot> robot, int size, int threads)
    : robot_(std::move(robot)), slots_(size), pool_(threads) {
  std::vector<double> original;
  for (const auto& parameter : robot_->parameters) {
    const mjtNum* values = robot_->model.*(parameter.array);
    original.insert(original.end(), values, values + parameter.size(robot_->model));
  }
  for (auto& slot : slots_) {
    slot.next = original;
    slot.model = robot_->model;
  }
}

void Engine::assign(int i, const std::vector<double>& parameters) {
  if (static_cast<int>(parameters.size()) != robot_->num_parameters()) {
    throw std::invalid_argument("expected " + std::to_string(robot_->num_parameters()) + " parameters, got " +
                                std::to_string(parameters.size()));
  }
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
  mjtNum* values = slot.parameters.data();
  for (const auto& parameter : robot_->parameters) {
    slot.model.*(parameter.array) = values;
    values += parameter.size(slot.model);
  }
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
      read(slot, features + num_features * i);
    });
  });
}

void Engine::read(const Slot& slot, double* features) const {
  const mjData* d = slot.simulation.data();
  for (const auto& feature : robot_->features) {
    features = std::copy_n(d->*(feature.array), feature.size(slot.model), features);
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

}  // namespace locomotion
