// The Python module envs.mjcf._engine. Everything here is a thin cover; see engine.hpp for what it does.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../../native/python.hpp"
#include "engine.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace mjcf;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

template <class A>
void require_shape(const char* what, const A& array, size_t rows, size_t columns) {
  if (array.shape(0) != rows || (array.ndim() == 2 && array.shape(1) != columns)) {
    throw std::invalid_argument(std::string(what) + " must have shape (" + std::to_string(rows) +
                                (array.ndim() == 2 ? ", " + std::to_string(columns) : ",") + ")");
  }
}

std::shared_ptr<Robot> make_robot(nb::object model, int substeps, const std::vector<std::string>& features,
                                  const std::vector<std::string>& parameters, bool up_to_date) {
  const auto address = nb::cast<uintptr_t>(model.attr("_address"));
  return std::make_shared<Robot>(reinterpret_cast<const mjModel*>(address), keep(model), substeps, features, parameters,
                                 up_to_date);
}

void assign(Engine& engine, int index, const Array<const double, 1>& parameters) {
  engine.assign(index, {parameters.data(), parameters.data() + parameters.size()});
}

void load(Engine& engine, int index, const Array<const double, 1>& state) {
  engine.load(index, {state.data(), state.data() + state.size()});
}

void reset(Engine& engine, const Array<const bool, 1>& mask, const Array<const double, 2>& qpos,
           const Array<const double, 2>& qvel, const Array<double, 2>& features) {
  const size_t size = engine.size();
  const Robot& robot = engine.robot();
  require_shape("mask", mask, size, 0);
  require_shape("qpos", qpos, size, robot.model.nq);
  require_shape("qvel", qvel, size, robot.model.nv);
  require_shape("features", features, size, robot.num_features());
  nb::gil_scoped_release released;
  engine.reset(mask.data(), qpos.data(), qvel.data(), features.data());
}

void step(Engine& engine, const Array<const double, 2>& ctrl, const Array<const bool, 1>& active,
          const Array<double, 2>& features) {
  const size_t size = engine.size();
  const Robot& robot = engine.robot();
  require_shape("ctrl", ctrl, size, robot.model.nu);
  require_shape("active", active, size, 0);
  require_shape("features", features, size, robot.num_features());
  nb::gil_scoped_release released;
  engine.step(ctrl.data(), active.data(), features.data());
}

}  // namespace

NB_MODULE(_engine, m) {
  require_mujoco("envs.mjcf._engine");
  physics::Quiet::install();
  nb::set_leak_warnings(false);  // Python caches robots until the interpreter ends

  nb::class_<Robot>(m, "Robot")
      .def("__init__", [](nb::handle, nb::args, nb::kwargs) { throw nb::type_error("use make_robot"); })
      .def_prop_ro("features", &Robot::feature_sizes, "(name, size) of what is read after a step, in order.")
      .def_prop_ro("parameters", &Robot::parameter_sizes, "(name, size) of what may differ between environments, in order.")
      .def_prop_ro("values", &Robot::values, "The model's own numbers of these, one after the other.");
  m.def("make_robot", &make_robot, "model"_a, "substeps"_a, "features"_a, "parameters"_a, "up_to_date"_a,
        "A robot on the mujoco.MjModel `model`, whose arrays must not change size.");

  nb::class_<Engine>(m, "Engine")
      .def(nb::init<std::shared_ptr<const Robot>, int, int>(), "robot"_a, "size"_a, "threads"_a)
      .def_prop_ro("threads", &Engine::threads)
      .def("assign", &assign, "index"_a, "parameters"_a)
      .def("reset", &reset, "mask"_a.noconvert(), "qpos"_a.noconvert(), "qvel"_a.noconvert(), "features"_a.noconvert())
      .def("step", &step, "ctrl"_a.noconvert(), "active"_a.noconvert(), "features"_a.noconvert())
      .def("state", &Engine::state, "index"_a)
      .def("load", &load, "index"_a, "state"_a);
}
