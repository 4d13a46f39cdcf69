// Array: shared buffer + offset + shape + strides + dtype + device. No graph in it.
#pragma once

#include <initializer_list>
#include <string>

#include "core/args.h"
#include "core/check.h"
#include "core/memory.h"

namespace ranvier {

// A short list of sizes, kept inside the object.
struct Dims {
  int n = 0;
  int64_t v[kMaxDims] = {};

  Dims() = default;
  Dims(std::initializer_list<int64_t> list) {
    for (int64_t x : list) push_back(x);
  }
  int size() const { return n; }
  int64_t& operator[](int i) { return v[i]; }
  int64_t operator[](int i) const { return v[i]; }
  int64_t* begin() { return v; }
  int64_t* end() { return v + n; }
  const int64_t* begin() const { return v; }
  const int64_t* end() const { return v + n; }
  int64_t back() const { return v[n - 1]; }
  void push_back(int64_t x) {
    RV_CHECK(n < kMaxDims, "array", Value, "expected at most ", kMaxDims, " dimensions");
    v[n++] = x;
  }
  bool operator==(const Dims& o) const {
    if (n != o.n) return false;
    for (int i = 0; i < n; ++i)
      if (v[i] != o.v[i]) return false;
    return true;
  }
};
std::string to_string(const Dims& d);  // "(2, 3)"
inline std::ostream& operator<<(std::ostream& s, const Dims& d) { return s << to_string(d); }

const char* dtype_name(DType t);
inline std::ostream& operator<<(std::ostream& s, DType t) { return s << dtype_name(t); }
constexpr bool is_floating(DType t) {
  return t == DType::Float32 || t == DType::Float64 || t == DType::BFloat16 || t == DType::Float16;
}
// Result type of two tensors, as in PyTorch: category (bool < integer < floating) first.
DType promote(DType a, DType b);

// Number of elements; a product that overflows raises with the name of the op.
int64_t element_count(const Dims& shape, const char* op = "array");
Dims contiguous_strides(const Dims& shape);
Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b);
// Axis in [0, ndim) from one that may count from the end; IndexError otherwise.
int normal_axis(const char* op, int64_t axis, int ndim);

class Array {
 public:
  Array() = default;
  Array(StoragePtr storage, int64_t offset, Dims shape, Dims strides, DType dtype)
      : storage_(std::move(storage)),
        offset_(offset),
        shape_(shape),
        strides_(strides),
        dtype_(dtype) {}

  // New, uninitialized memory.
  static Array empty(const Dims& shape, DType dtype, Device device = {}, const char* op = "empty");
  // Same shape, device and *physical order of axes* as `x`, dense.
  static Array empty_like(const Array& x) { return empty_like(x, x.dtype_); }
  static Array empty_like(const Array& x, DType dtype);
  Dims strides_like() const;  // those that empty_like gives
  // Physically channels-last: axis 1 varies fastest. For N, C, spatial... shapes.
  static Array empty_channels_last(const Dims& shape, DType dtype, Device device,
                                   const char* op = "empty");
  // One element, written by the host: a constant operand.
  static Array scalar(double value, DType dtype, Device device);
  static Array whole(int64_t value, Device device);  // an int64 scalar, exact beyond 2^53

  bool defined() const { return static_cast<bool>(storage_); }
  const Dims& shape() const { return shape_; }
  const Dims& strides() const { return strides_; }
  int64_t shape(int i) const { return shape_[i < 0 ? i + shape_.n : i]; }
  int64_t stride(int i) const { return strides_[i < 0 ? i + strides_.n : i]; }
  int ndim() const { return shape_.n; }
  int64_t size() const {
    int64_t n = 1;
    for (int64_t d : shape_) n *= d;
    return n;
  }
  int64_t bytes() const { return size() * item_size(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_->device; }
  bool is_meta() const { return storage_->device.kind == DeviceKind::Meta; }
  int64_t offset() const { return offset_; }  // bytes
  const StoragePtr& storage() const { return storage_; }
  // Host address of the first element. Only for the cpu device.
  template <class T = void>
  T* data() const {
    if (storage_->shares.load(std::memory_order_acquire)) materialize(storage_.get());
    if (!storage_->data) furnish(storage_.get());
    return reinterpret_cast<T*>(static_cast<char*>(storage_->data) + offset_);
  }

  bool is_contiguous() const;     // dense in row-major (logical) order
  bool is_channels_last() const;  // dense with axis 1 fastest
  Array contiguous() const;     // itself when contiguous, else a copy by the kernel of room `copy`
  Array channels_last() const;  // itself when channels-last, else a copy
  Array cast(DType dtype) const;  // itself when the type is right, else a copy

  // Views.
  Array with(const Dims& shape, const Dims& strides, int64_t offset_bytes = 0) const {
    return Array(storage_, offset_ + offset_bytes, shape, strides, dtype_);
  }
  Array permute(const Dims& axes) const;
  Array transpose(int a, int b) const;
  Array expand(const Dims& shape, const char* op = "expand") const;
  Array slice(int axis, int64_t start, int64_t step, int64_t count) const;
  bool can_view(const Dims& shape, Dims* strides) const;
  Array reshape(const Dims& shape,
                const char* op = "reshape") const;  // view when it can, else copy
  uint64_t bump() const { return bump_version(storage_.get()); }

 private:
  StoragePtr storage_;
  int64_t offset_ = 0;
  Dims shape_, strides_;
  DType dtype_ = DType::Float32;
};

// dst[...] = src[...] with broadcasting and conversion. Defined by the room `copy`.
void copy_into(const Array& dst, const Array& src);
// `src`, or a copy of it where writing `dst` could change what is still to be read.
Array read_before_write(const Array& dst, const Array& src);
// Refuses to write where several elements share one place (views made by expand).
void check_writable(const char* op, const Array& dst);

// Marked references for argument structs.
void fill_ref(ArrayRef& ref, const Array& a, Access access);
inline In in(const Array& a) {
  In r;
  fill_ref(r, a, Access::In);
  return r;
}
inline Out out(const Array& a) {
  Out r;
  fill_ref(r, a, Access::Out);
  return r;
}
inline InOut inout(const Array& a) {
  InOut r;
  fill_ref(r, a, Access::InOut);
  return r;
}

// Checks shared by all ops.
void check_same_device(const char* op, std::initializer_list<const Array*> arrays);
void check_floating(const char* op, const Array& x, const char* name);  // float32 or float64
void check_dtype(const char* op, const Array& x, const char* name, DType expected);

}  // namespace ranvier
