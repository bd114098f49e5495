/* The types of the hot door, and what their methods share. */
#ifndef KV_BINDING_DOOR_H
#define KV_BINDING_DOOR_H

#include "binding/pool.h"

/* Calls the Python method that takes what a hot one does not. */
PyObject *kv_go_wide(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t count, PyObject *kwnames);

/* Types, made anew for a module. NULL: a Python exception is set. */
PyObject *kv_collector_type(void);

#endif
