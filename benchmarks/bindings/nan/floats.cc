// The usual way to bind C++ to V8 itself: a class derived from nan's ObjectWrap, whose destructor the collector calls.
#include <nan.h>

#include <utility>
#include <vector>

class Floats : public Nan::ObjectWrap {
 public:
  static NAN_MODULE_INIT(Init) {
    auto klass = Nan::New<v8::FunctionTemplate>(Construct);
    klass->SetClassName(Nan::New("Floats").ToLocalChecked());
    klass->InstanceTemplate()->SetInternalFieldCount(1);
    Nan::SetPrototypeMethod(klass, "add", Add);
    Nan::SetPrototypeMethod(klass, "first", First);
    Nan::SetPrototypeMethod(klass, "free", Free);
    constructor().Reset(Nan::GetFunction(klass).ToLocalChecked());
    Nan::Set(target, Nan::New("Floats").ToLocalChecked(), Nan::GetFunction(klass).ToLocalChecked());
    Nan::SetMethod(target, "noop", Noop);
  }

 private:
  explicit Floats(std::vector<float> values) : values_(std::move(values)) {}

  static Nan::Persistent<v8::Function>& constructor() {
    static Nan::Persistent<v8::Function> function;
    return function;
  }

  // new Floats(Float32Array) copies; without an argument the object is empty, for Add to fill.
  static NAN_METHOD(Construct) {
    std::vector<float> values;
    if (info.Length() > 0) {
      if (!info[0]->IsFloat32Array()) return Nan::ThrowTypeError("expected a Float32Array");
      Nan::TypedArrayContents<float> contents(info[0]);
      values.assign(*contents, *contents + contents.length());
    }
    (new Floats(std::move(values)))->Wrap(info.This());
    info.GetReturnValue().Set(info.This());
  }

  static NAN_METHOD(Add) {
    if (!info[0]->IsObject() || info[0].As<v8::Object>()->InternalFieldCount() < 1)
      return Nan::ThrowTypeError("expected Floats");
    const auto& a = Unwrap<Floats>(info.Holder())->values_;
    const auto& b = Unwrap<Floats>(info[0].As<v8::Object>())->values_;
    if (a.size() != b.size()) return Nan::ThrowRangeError("lengths differ");
    std::vector<float> sum(a.size());
    for (size_t i = 0; i < a.size(); i++) sum[i] = a[i] + b[i];
    auto result = Nan::NewInstance(Nan::New(constructor())).ToLocalChecked();
    Unwrap<Floats>(result)->values_ = std::move(sum);
    info.GetReturnValue().Set(result);
  }

  static NAN_METHOD(First) {
    const auto& values = Unwrap<Floats>(info.Holder())->values_;
    info.GetReturnValue().Set(values.empty() ? 0.0 : static_cast<double>(values[0]));
  }

  // Gives the memory back now; what is left for the collector is an empty object.
  static NAN_METHOD(Free) { Unwrap<Floats>(info.Holder())->values_ = {}; }

  static NAN_METHOD(Noop) {}

  std::vector<float> values_;
};

NODE_MODULE(nan_class, Floats::Init)
