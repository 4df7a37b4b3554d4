//! Looking for libraries without failing: what is missing is a sentence, not an error.

use std::ffi::{CStr, OsStr, c_char};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::Library;

use super::sys::{self, CUresult};

/// What `openelm doctor` says about CUDA on this machine.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Names of the devices that can be used.
    pub devices: Vec<String>,
    /// Version of CUDA that the driver speaks, such as 13000.
    pub driver: Option<i32>,
    /// Why there is no device, if so.
    pub missing: Option<String>,
}

/// Looks for the driver and its devices, once.
pub fn probe() -> &'static Probe {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    PROBE.get_or_init(|| {
        let none =
            |driver, missing: &str| Probe { devices: Vec::new(), driver, missing: Some(missing.into()) };
        if !super::super::modules::COMPILED {
            return none(
                None,
                "this build has no CUDA kernels: no nvcc of CUDA 13 was there when it was made",
            );
        }
        // SAFETY: it only tries to open the library.
        if !unsafe { sys::is_culib_present() } {
            return none(None, "the driver's library (libcuda) was not found on the loader's path");
        }
        let (mut version, mut count) = (0, 0);
        // SAFETY: the library is there; each call writes one number.
        let (started, counted) = unsafe {
            let started = sys::cuInit(0);
            sys::cuDriverGetVersion(&raw mut version);
            (started, sys::cuDeviceGetCount(&raw mut count))
        };
        crate::gate::before_the_driver_goes();
        let driver = Some(version);
        if version < 13_000 {
            let text =
                format!("the driver speaks CUDA {}.{}, 13.0 is needed", version / 1000, version % 1000 / 10);
            return none(driver, &text);
        }
        match (started, counted) {
            (CUresult::CUDA_SUCCESS, CUresult::CUDA_SUCCESS) if count > 0 => {
                Probe { devices: (0..count).map(name_of).collect(), driver, missing: None }
            }
            (CUresult::CUDA_SUCCESS, CUresult::CUDA_SUCCESS) => none(driver, "the driver sees no device"),
            (status, _) => none(driver, &format!("the driver did not start: {status:?}")),
        }
    })
}

/// The name of device `ordinal`, which exists.
pub fn name_of(ordinal: i32) -> String {
    let (mut device, mut name) = (0, [0 as c_char; 128]);
    // SAFETY: the driver is there; each call writes what it is given a pointer to, and the text ends with a zero.
    unsafe {
        sys::cuDeviceGet(&raw mut device, ordinal);
        sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32 - 1, device);
        CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
    }
}

/// Opens a library of CUDA by one of its file names: on the loader's path, in the usual folders, among pip's packages.
///
/// The handle is never closed; others find the library by its name afterwards.
pub fn open(names: &[&str]) -> Result<&'static Library, String> {
    let folders = folders();
    for name in names {
        let on_path = std::iter::once(PathBuf::from(name));
        for path in on_path.chain(folders.iter().map(|folder| folder.join(name))) {
            if let Some(library) = open_global(path.as_os_str()) {
                return Ok(Box::leak(Box::new(library)));
            }
        }
    }
    let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(format!("{} was not found on the loader's path nor in {}", names.join(" or "), looked.join(", ")))
}

fn open_global(path: &OsStr) -> Option<Library> {
    #[cfg(unix)]
    {
        use libloading::os::unix;
        // SAFETY: libraries of CUDA run nothing on opening that depends on us.
        let library = unsafe { unix::Library::open(Some(path), unix::RTLD_NOW | unix::RTLD_GLOBAL) };
        library.ok().map(Library::from)
    }
    #[cfg(not(unix))]
    {
        // SAFETY: as above.
        unsafe { Library::new(path) }.ok()
    }
}

/// Where CUDA's libraries usually lie when the loader does not know them.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(home) = std::env::var_os(variable) {
            folders.push(PathBuf::from(home).join("lib64"));
        }
    }
    folders.push("/usr/local/cuda/lib64".into());
    for root in ["/usr/lib", "/usr/local/lib", "/opt/venv/lib"] {
        for python in std::fs::read_dir(root).into_iter().flatten().flatten() {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.path().join(packages).join("nvidia");
                for package in ["cu13", "cublas", "cudnn", "nccl"] {
                    let folder = nvidia.join(package).join("lib");
                    if folder.is_dir() {
                        folders.push(folder);
                    }
                }
            }
        }
    }
    folders
}
