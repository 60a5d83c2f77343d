// Numbers of a model that may differ between simulations which share everything else of it: masses, frictions, gains.
// Nothing is compiled again: a struct copy of the model points at rows of its own.
#pragma once

#include <mujoco/mujoco.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace physics {

using Size = int (*)(const mjModel&);

// A named array of mjModel; `array` is null for gravity, which lies in the struct itself.
struct Parameter {
  const char* name;
  Size size;
  mjtNum* mjModel::*array;
};

#define MODEL_ARRAY(array, count) {#array, [](const mjModel& m) { return static_cast<int>(count); }, &mjModel::array}
inline const Parameter kParameters[] = {
    MODEL_ARRAY(body_mass, m.nbody),
    MODEL_ARRAY(body_inertia, 3 * m.nbody),
    MODEL_ARRAY(body_ipos, 3 * m.nbody),
    MODEL_ARRAY(body_pos, 3 * m.nbody),
    MODEL_ARRAY(body_quat, 4 * m.nbody),
    MODEL_ARRAY(dof_damping, m.nv),
    MODEL_ARRAY(dof_armature, m.nv),
    MODEL_ARRAY(dof_frictionloss, m.nv),
    MODEL_ARRAY(jnt_stiffness, m.njnt),
    MODEL_ARRAY(qpos_spring, m.nq),
    MODEL_ARRAY(geom_friction, 3 * m.ngeom),
    MODEL_ARRAY(geom_pos, 3 * m.ngeom),
    MODEL_ARRAY(site_pos, 3 * m.nsite),
    MODEL_ARRAY(actuator_gear, 6 * m.nu),
    MODEL_ARRAY(actuator_gainprm, mjNGAIN * m.nu),
    MODEL_ARRAY(actuator_biasprm, mjNBIAS * m.nu),
    {"gravity", [](const mjModel&) { return 3; }, nullptr},
};
#undef MODEL_ARRAY

// The rows of `table` called `names`.
template <class Row, size_t N>
std::vector<Row> pick(const Row (&table)[N], const std::vector<std::string>& names) {
  std::vector<Row> rows;
  for (const auto& name : names) {
    const auto found = std::find_if(table, table + N, [&](const Row& row) { return row.name == name; });
    if (found == table + N) {
      std::string valid;
      for (const Row& row : table) valid += (valid.empty() ? "" : ", ") + std::string(row.name);
      throw std::invalid_argument("the engine has no array " + name + "; valid: " + valid);
    }
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

// What `model` has in these arrays, one after the other.
inline std::vector<double> values(const std::vector<Parameter>& parameters, const mjModel& model) {
  std::vector<double> out;
  for (const auto& parameter : parameters) {
    const mjtNum* from = parameter.array ? model.*(parameter.array) : model.opt.gravity;
    out.insert(out.end(), from, from + parameter.size(model));
  }
  return out;
}

inline void require_total(const std::vector<Parameter>& parameters, const mjModel& model, size_t got) {
  const int expected = total(parameters, model);
  if (static_cast<int>(got) != expected) {
    throw std::invalid_argument("expected " + std::to_string(expected) + " parameters, got " + std::to_string(got));
  }
}

// Lets `model`, a struct copy, read these arrays from `row`, which must outlive it.
inline void point(mjModel& model, const std::vector<Parameter>& parameters, mjtNum* row) {
  for (const auto& parameter : parameters) {
    if (parameter.array) {
      model.*(parameter.array) = row;
    } else {
      std::copy_n(row, 3, model.opt.gravity);
    }
    row += parameter.size(model);
  }
}

}  // namespace physics
