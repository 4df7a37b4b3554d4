//! A thin layer over Node-API: values in, values out, every status checked.

use std::ffi::c_void;
use std::ptr;

use elm_core::{ErrorCode, OpError};
use napi::sys;

pub type Value = sys::napi_value;

/// What a function gives back that has no result: Node-API makes `undefined` of it.
pub const NOTHING: Value = ptr::null_mut();

/// The environment of the current call.
#[derive(Clone, Copy)]
pub struct Js(pub sys::napi_env);

type Result<T> = std::result::Result<T, OpError>;

fn wrong(what: &str) -> OpError {
    OpError::new(ErrorCode::InvalidArgument, "native", format!("expected {what}"))
}

/// Every function here is called on the environment's own thread with a live handle scope: that of the native call
/// that the value came with. Pointers handed to Node-API are to locals that outlive the call.
impl Js {
    fn check(status: sys::napi_status, what: &str) -> Result<()> {
        if status == sys::Status::napi_ok { Ok(()) } else { Err(wrong(what)) }
    }

    pub fn undefined(self) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl.
        unsafe { sys::napi_get_undefined(self.0, &raw mut value) };
        value
    }

    pub fn number(self, number: f64) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl.
        unsafe { sys::napi_create_double(self.0, number, &raw mut value) };
        value
    }

    pub fn boolean(self, boolean: bool) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl.
        unsafe { sys::napi_get_boolean(self.0, boolean, &raw mut value) };
        value
    }

    pub fn string(self, text: &str) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl.
        unsafe {
            sys::napi_create_string_utf8(self.0, text.as_ptr().cast(), text.len() as isize, &raw mut value)
        };
        value
    }

    pub fn get_f64(self, value: Value) -> Result<f64> {
        let mut number = 0.0;
        // SAFETY: see the impl.
        Js::check(unsafe { sys::napi_get_value_double(self.0, value, &raw mut number) }, "a number")?;
        Ok(number)
    }

    pub fn get_index(self, value: Value) -> Result<usize> {
        let number = self.get_f64(value)?;
        if number >= 0.0 && number.fract() == 0.0 && number < 9.1e15 {
            return Ok(number as usize);
        }
        Err(wrong("a whole number that is not negative"))
    }

    pub fn get_bool(self, value: Value) -> Result<bool> {
        let mut boolean = false;
        // SAFETY: see the impl.
        Js::check(unsafe { sys::napi_get_value_bool(self.0, value, &raw mut boolean) }, "a boolean")?;
        Ok(boolean)
    }

    pub fn get_string(self, value: Value) -> Result<String> {
        let mut len = 0;
        // SAFETY: see the impl; a null buffer asks for the length.
        let status =
            unsafe { sys::napi_get_value_string_utf8(self.0, value, ptr::null_mut(), 0, &raw mut len) };
        Js::check(status, "a string")?;
        let mut bytes = vec![0u8; len + 1];
        // SAFETY: the buffer holds the text and its terminating zero.
        let status = unsafe {
            sys::napi_get_value_string_utf8(self.0, value, bytes.as_mut_ptr().cast(), len + 1, &raw mut len)
        };
        Js::check(status, "a string")?;
        bytes.truncate(len);
        String::from_utf8(bytes).map_err(|_| wrong("a string"))
    }

    /// The numbers of an array.
    pub fn get_shape(self, value: Value) -> Result<elm_core::Shape> {
        let mut len = 0;
        // SAFETY: see the impl.
        Js::check(unsafe { sys::napi_get_array_length(self.0, value, &raw mut len) }, "an array")?;
        (0..len).map(|index| self.get_index(self.element(value, index)?)).collect()
    }

    pub fn element(self, array: Value, index: u32) -> Result<Value> {
        let mut item = ptr::null_mut();
        // SAFETY: see the impl.
        Js::check(unsafe { sys::napi_get_element(self.0, array, index, &raw mut item) }, "an array")?;
        Ok(item)
    }

    /// The bytes behind a typed array. They stay valid during the native call, in which no JavaScript runs.
    pub fn get_bytes(self, value: Value) -> Result<(*mut u8, usize)> {
        let (mut kind, mut len, mut data) = (0, 0, ptr::null_mut::<c_void>());
        let (mut buffer, mut offset) = (ptr::null_mut(), 0);
        // SAFETY: see the impl.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.0,
                value,
                &raw mut kind,
                &raw mut len,
                &raw mut data,
                &raw mut buffer,
                &raw mut offset,
            )
        };
        Js::check(status, "a typed array")?;
        let size = match kind {
            sys::TypedarrayType::int8_array
            | sys::TypedarrayType::uint8_array
            | sys::TypedarrayType::uint8_clamped_array => 1,
            sys::TypedarrayType::int16_array | sys::TypedarrayType::uint16_array => 2,
            sys::TypedarrayType::int32_array
            | sys::TypedarrayType::uint32_array
            | sys::TypedarrayType::float32_array => 4,
            _ => 8,
        };
        Ok((data.cast(), len * size))
    }

    pub fn array_buffer(self, value: Value) -> Result<(*mut u8, usize)> {
        let (mut data, mut len) = (ptr::null_mut::<c_void>(), 0);
        // SAFETY: see the impl.
        let status = unsafe { sys::napi_get_arraybuffer_info(self.0, value, &raw mut data, &raw mut len) };
        Js::check(status, "an ArrayBuffer")?;
        Ok((data.cast(), len))
    }

    /// Keeps `value` alive until the environment ends (`count` 1), or only observes it (`count` 0).
    pub fn reference(self, value: Value, count: u32) -> Result<sys::napi_ref> {
        let mut reference = ptr::null_mut();
        // SAFETY: see the impl.
        let status = unsafe { sys::napi_create_reference(self.0, value, count, &raw mut reference) };
        Js::check(status, "an object")?;
        Ok(reference)
    }

    /// The value behind a reference; `None` once it was collected.
    pub fn deref(self, reference: sys::napi_ref) -> Option<Value> {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl; the reference was not deleted, by its owner's care.
        unsafe { sys::napi_get_reference_value(self.0, reference, &raw mut value) };
        (!value.is_null()).then_some(value)
    }

    pub fn delete_reference(self, reference: sys::napi_ref) {
        // SAFETY: see the impl; the owner gives the reference up here.
        unsafe { sys::napi_delete_reference(self.0, reference) };
    }

    /// Calls a JavaScript function; `None` if it threw.
    pub fn call(self, function: Value, args: &[Value]) -> Option<Value> {
        let (this, mut result) = (self.undefined(), ptr::null_mut());
        // SAFETY: see the impl.
        let status = unsafe {
            sys::napi_call_function(self.0, this, function, args.len(), args.as_ptr(), &raw mut result)
        };
        (status == sys::Status::napi_ok).then_some(result)
    }

    pub fn set(self, object: Value, name: &str, value: Value) {
        let key = self.string(name);
        // SAFETY: see the impl.
        unsafe { sys::napi_set_property(self.0, object, key, value) };
    }

    pub fn object(self) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl.
        unsafe { sys::napi_create_object(self.0, &raw mut value) };
        value
    }

    pub fn function(self, name: &str, callback: sys::napi_callback, data: *mut c_void) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: see the impl; whoever passes `data` keeps it alive as long as the environment.
        unsafe {
            sys::napi_create_function(
                self.0,
                name.as_ptr().cast(),
                name.len() as isize,
                callback,
                data,
                &raw mut value,
            )
        };
        value
    }
}
