// What every Python module of the engines needs: the right MuJoCo, and Python objects kept alive from C++.
#pragma once

#include <mujoco/mujoco.h>
#include <nanobind/nanobind.h>

#include <memory>
#include <string>

// Keeps a Python object alive from C++ that does not know Python.
inline std::shared_ptr<void> keep(nanobind::object object) {
  return {object.release().ptr(), [](void* p) {
            nanobind::gil_scoped_acquire gil;
            Py_DECREF(static_cast<PyObject*>(p));
          }};
}

// The structs of mujoco.h change between versions: a mismatch would read garbage.
inline void require_mujoco(const char* module) {
  if (mj_version() == mjVERSION_HEADER) return;
  throw nanobind::import_error((std::string(module) + " was built for MuJoCo " + std::to_string(mjVERSION_HEADER) +
                                " but MuJoCo " + std::to_string(mj_version()) + " is loaded: reinstall meta-rl")
                                   .c_str());
}
