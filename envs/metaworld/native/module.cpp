// The Python module envs.metaworld._engine. Everything here is a thin cover; see engine.hpp for what it does.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "../../native/python.hpp"
#include "engine.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace metaworld;

namespace {

template <class T, class... Shape>
using Array = nb::ndarray<T, Shape..., nb::c_contig, nb::device::cpu>;
using Doubles = Array<const double, nb::ndim<1>>;

std::vector<double> to_vector(const Doubles& a) { return {a.data(), a.data() + a.size()}; }

template <size_t N>
std::array<double, N> to_array(const char* what, const Doubles& a) {
  if (a.size() != N) throw std::invalid_argument(std::string(what) + " must have " + std::to_string(N) + " numbers");
  std::array<double, N> out;
  std::copy_n(a.data(), N, out.begin());
  return out;
}

std::shared_ptr<FamilyModel> make_family(const std::string& name, nb::object model, const Doubles& mocap_low,
                                         const Doubles& mocap_high, double action_scale, int frame_skip,
                                         const Doubles& obs_low, const Doubles& obs_high,
                                         const std::vector<std::string>& parameters) {
  const auto address = nb::cast<uintptr_t>(model.attr("_address"));
  const auto low = to_array<3>("mocap_low", mocap_low), high = to_array<3>("mocap_high", mocap_high);
  const Workspace workspace{read<3>(low.data()),
                            read<3>(high.data()),
                            static_cast<float>(action_scale),
                            frame_skip,
                            to_array<kObs>("obs_low", obs_low),
                            to_array<kObs>("obs_high", obs_high)};
  return std::make_shared<FamilyModel>(name, reinterpret_cast<const mjModel*>(address), keep(model), workspace,
                                       parameters);
}

std::vector<std::pair<std::string, int>> attributes(const FamilyModel& fm) {
  std::vector<std::pair<std::string, int>> out;
  for (const auto& attribute : fm.family->attributes()) out.emplace_back(attribute.name, attribute.size);
  return out;
}

void require_rows(const Engine& engine, size_t rows) {
  if (static_cast<int>(rows) != engine.size()) {
    throw std::invalid_argument("arrays must have " + std::to_string(engine.size()) + " rows, got " + std::to_string(rows));
  }
}

void reset(Engine& engine, const Array<const bool, nb::ndim<1>>& mask, const Array<double, nb::shape<-1, kObs>>& observation) {
  require_rows(engine, mask.shape(0));
  require_rows(engine, observation.shape(0));
  nb::gil_scoped_release released;
  engine.reset(mask.data(), observation.data());
}

void step(Engine& engine, const Array<const float, nb::shape<-1, kAction>>& action, const Array<const bool, nb::ndim<1>>& active,
         const Array<double, nb::shape<-1, kObs>>& observation, const Array<double, nb::ndim<1>>& reward,
         const Array<double, nb::shape<-1, kInfo>>& info) {
  for (size_t rows : {action.shape(0), active.shape(0), observation.shape(0), reward.shape(0), info.shape(0)}) {
    require_rows(engine, rows);
  }
  nb::gil_scoped_release released;
  engine.step(action.data(), active.data(), observation.data(), reward.data(), info.data());
}

}  // namespace

NB_MODULE(_engine, m) {
  require_mujoco("envs.metaworld._engine");
  physics::Quiet::install();
  nb::set_leak_warnings(false);  // Python caches families and tasks until the interpreter ends

  nb::class_<FamilyModel>(m, "Family")
      .def("__init__",
           [](nb::handle, nb::args, nb::kwargs) { throw nb::type_error("use make_family"); })
      .def_prop_ro("attributes", &attributes, "What a task must provide: (attribute of Meta-World's env, size), in order.")
      .def_prop_ro("parameters", [](const FamilyModel& fm) { return physics::sizes(fm.parameters, fm.model); },
                   "(name, size) of what tasks with dynamics of their own change, in order.")
      .def_prop_ro("values", [](const FamilyModel& fm) { return physics::values(fm.parameters, fm.model); },
                   "The model's own numbers of these, one after the other.");
  m.def("make_family", &make_family, "name"_a, "model"_a, "mocap_low"_a, "mocap_high"_a, "action_scale"_a, "frame_skip"_a,
        "obs_low"_a, "obs_high"_a, "parameters"_a, "The family `name` on the mujoco.MjModel `model`, whose arrays must not change size.");
  m.def("family_names", [] {
    std::vector<std::string> names;
    for (const auto& [name, make] : family_table()) names.push_back(name);
    return names;
  });

  nb::class_<Task>(m, "Task");
  m.def(
      "make_task",
      [](std::shared_ptr<FamilyModel> family, const Doubles& body_pos, const Doubles& site_pos, const Doubles& state,
         const Doubles& constants, const Doubles& observation) {
        return std::make_shared<Task>(std::move(family), to_vector(body_pos), to_vector(site_pos), to_vector(state),
                                      to_vector(constants), to_array<kObs>("observation", observation));
      },
      "family"_a, "body_pos"_a, "site_pos"_a, "state"_a, "constants"_a, "observation"_a);

  m.def(
      "vary_task",
      [](const Task& task, const Doubles& parameters) { return std::make_shared<Task>(task, to_vector(parameters)); },
      "task"_a, "parameters"_a, "`task` with these numbers in place of `Family.values`; it starts in the same state.");

  nb::class_<Engine>(m, "Engine")
      .def(nb::init<int, bool, int>(), "size"_a, "goal_visible"_a, "threads"_a)
      .def_prop_ro("threads", &Engine::threads)
      .def("assign", [](Engine& e, int i, std::shared_ptr<Task> task) { e.assign(i, std::move(task)); }, "index"_a, "task"_a)
      .def("reset", &reset, "mask"_a.noconvert(), "observation"_a.noconvert())
      .def("step", &step, "action"_a.noconvert(), "active"_a.noconvert(), "observation"_a.noconvert(),
           "reward"_a.noconvert(), "info"_a.noconvert())
      .def("state", &Engine::state, "index"_a)
      .def("save", &Engine::save, "index"_a)
      .def("load", [](Engine& e, int i, const Doubles& saved) { e.load(i, to_vector(saved)); }, "index"_a, "saved"_a);

  m.def("norm", [](const Doubles& a) { return norm(read<3>(to_array<3>("a", a).data())); });
  m.def("set_dot_is_fused", [](bool fused) { dot_is_fused = fused; });
  nb::list info_names;
  for (const char* name : kInfoNames) info_names.append(name);
  m.attr("INFO_NAMES") = nb::tuple(info_names);
  m.attr("OBSERVATION_SIZE") = kObs;
}
