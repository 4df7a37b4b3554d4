// The usual way to bind C to Node: an object that napi_wrap ties to its memory, with a finalizer.
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  size_t length;
  float *values;
} Floats;

static const napi_type_tag TAG = {0x6f70656e656c6d01, 0x62656e6368000001};
static napi_ref constructor_ref;

static Floats *allocate(size_t length) {
  Floats *self = malloc(sizeof *self);
  self->length = length;
  self->values = malloc(length * sizeof(float));
  return self;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Floats *self = data;
  free(self->values);
  free(self);
}

// The native half of a Floats, or NULL with an exception pending.
static Floats *unwrap(napi_env env, napi_value object) {
  bool ours = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, object, &TAG, &ours) != napi_ok || !ours ||
      napi_unwrap(env, object, &data) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected Floats");
    return NULL;
  }
  return data;
}

// new Floats(Float32Array) copies; new Floats(external) takes over what add made.
static napi_value construct(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value value, self;
  napi_get_cb_info(env, info, &argc, &value, &self, NULL);
  Floats *made;
  napi_valuetype type;
  napi_typeof(env, value, &type);
  if (type == napi_external) {
    void *data;
    napi_get_value_external(env, value, &data);
    made = data;
  } else {
    size_t length;
    void *data;
    napi_typedarray_type kind;
    if (napi_get_typedarray_info(env, value, &kind, &length, &data, NULL, NULL) != napi_ok ||
        kind != napi_float32_array) {
      napi_throw_type_error(env, NULL, "expected a Float32Array");
      return NULL;
    }
    made = allocate(length);
    memcpy(made->values, data, length * sizeof(float));
  }
  napi_type_tag_object(env, self, &TAG);
  napi_wrap(env, self, made, finalize, NULL, NULL);
  return self;
}

static napi_value add(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value arg, this, constructor, external, result;
  napi_get_cb_info(env, info, &argc, &arg, &this, NULL);
  Floats *a = unwrap(env, this);
  Floats *b = a ? unwrap(env, arg) : NULL;
  if (!b) return NULL;
  if (a->length != b->length) {
    napi_throw_range_error(env, NULL, "lengths differ");
    return NULL;
  }
  Floats *sum = allocate(a->length);
  for (size_t i = 0; i < a->length; i++) sum->values[i] = a->values[i] + b->values[i];
  napi_get_reference_value(env, constructor_ref, &constructor);
  napi_create_external(env, sum, NULL, NULL, &external);
  napi_new_instance(env, constructor, 1, &external, &result);
  return result;
}

static napi_value first(napi_env env, napi_callback_info info) {
  napi_value this, result;
  napi_get_cb_info(env, info, NULL, NULL, &this, NULL);
  Floats *self = unwrap(env, this);
  if (!self) return NULL;
  napi_create_double(env, self->length > 0 ? self->values[0] : 0, &result);
  return result;
}

// Gives the memory back now; what is left for the collector is an empty object.
static napi_value release(napi_env env, napi_callback_info info) {
  napi_value this;
  napi_get_cb_info(env, info, NULL, NULL, &this, NULL);
  Floats *self = unwrap(env, this);
  if (!self) return NULL;
  free(self->values);
  self->values = NULL;
  self->length = 0;
  return NULL;
}

static napi_value noop(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  return NULL;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor methods[] = {
      {"add", NULL, add, NULL, NULL, NULL, napi_default_method, NULL},
      {"first", NULL, first, NULL, NULL, NULL, napi_default_method, NULL},
      {"free", NULL, release, NULL, NULL, NULL, napi_default_method, NULL},
  };
  napi_value constructor, function;
  napi_define_class(env, "Floats", NAPI_AUTO_LENGTH, construct, NULL, 3, methods, &constructor);
  napi_create_reference(env, constructor, 1, &constructor_ref);
  napi_set_named_property(env, exports, "Floats", constructor);
  napi_create_function(env, "noop", NAPI_AUTO_LENGTH, noop, NULL, &function);
  napi_set_named_property(env, exports, "noop", function);
  return exports;
}
