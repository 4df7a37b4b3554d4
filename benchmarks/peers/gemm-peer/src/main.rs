//! f32 matrix products of the crates `gemm` and `faer`, for a program that asks in lines of JSON.
//!
//! `gemm-peer gemm|faer`, threads from `OPENELM_BENCH_THREADS`. The protocol is that of `../protocol.py`:
//! `{"prepare": {"case": "matmul", "m", "k", "n", "ta", "tb"}}`, then `{"run": calls}`. Where `ta` is true the matrix lies
//! in memory as `[k, m]`, and with `tb` as `[n, k]`; the result is `[m, n]`, all row by row.

use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

/// A product that can be computed again and again.
struct Product {
    m: usize,
    k: usize,
    n: usize,
    transposed: (bool, bool),
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

/// Distances between rows and between columns of a matrix of `columns` columns, seen as it is or transposed.
fn strides(rows: usize, columns: usize, transposed: bool) -> (isize, isize) {
    if transposed { (1, rows as isize) } else { (columns as isize, 1) }
}

impl Product {
    fn new(options: &Value) -> Result<Self, String> {
        if options["case"] != "matmul" || options["dtype"].as_str().is_some_and(|dtype| dtype != "f32") {
            return Err(format!("there is no case {options}"));
        }
        let size =
            |name: &str| options[name].as_u64().map(|x| x as usize).ok_or(format!("{name} is missing"));
        let (m, k, n) = (size("m")?, size("k")?, size("n")?);
        let flag = |name: &str| options[name].as_bool().unwrap_or(false);
        let fill = |length: usize| (0..length).map(|i| (i % 251) as f32 / 251.0).collect();
        let transposed = (flag("ta"), flag("tb"));
        Ok(Self { m, k, n, transposed, a: fill(m * k), b: fill(k * n), c: vec![0.0; m * n] })
    }

    fn gemm(&mut self, threads: usize) {
        let parallelism =
            if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
        let (m, k, n) = (self.m, self.k, self.n);
        let (a_row, a_column) = strides(m, k, self.transposed.0);
        let (b_row, b_column) = strides(k, n, self.transposed.1);
        // SAFETY: the vectors hold m·k, k·n and m·n elements, and the strides of each stay within them.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                self.c.as_mut_ptr(),
                1,
                n as isize,
                false,
                self.a.as_ptr(),
                a_column,
                a_row,
                self.b.as_ptr(),
                b_column,
                b_row,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                parallelism,
            );
        }
    }

    fn faer(&mut self, threads: usize) {
        use faer::{Accum, MatMut, MatRef, Par};
        let seen = |data, rows, columns, transposed| {
            if transposed {
                MatRef::from_row_major_slice(data, columns, rows).transpose()
            } else {
                MatRef::from_row_major_slice(data, rows, columns)
            }
        };
        // The crate leaves the number of threads to its caller; for small products one is the faster choice.
        let small = self.m * self.k * self.n <= 128 * 128 * 128;
        let parallelism = if threads == 1 || small { Par::Seq } else { Par::rayon(threads) };
        faer::linalg::matmul::matmul(
            MatMut::from_row_major_slice_mut(&mut self.c, self.m, self.n),
            Accum::Replace,
            seen(&self.a, self.m, self.k, self.transposed.0),
            seen(&self.b, self.k, self.n, self.transposed.1),
            1.0f32,
            parallelism,
        );
    }
}

fn main() {
    let library = std::env::args().nth(1).unwrap_or_default();
    let version = match library.as_str() {
        "gemm" => "crate gemm 0.19.0",
        "faer" => "crate faer 0.24.4",
        _ => return say(&json!({ "missing": library })),
    };
    let threads = std::env::var("OPENELM_BENCH_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the pool is made once");
    say(&json!({ "ready": version }));
    let mut product = None;
    for line in stdin().lock().lines().map_while(Result::ok) {
        say(&answer(&line, &library, threads, &mut product).unwrap_or_else(|error| json!({ "error": error })));
    }
}

fn answer(line: &str, library: &str, threads: usize, product: &mut Option<Product>) -> Result<Value, String> {
    let question: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if !question["prepare"].is_null() {
        *product = Some(Product::new(&question["prepare"])?);
        return Ok(json!({ "ready": library }));
    }
    let calls = question["run"].as_u64().ok_or("neither prepare nor run")?;
    let product = product.as_mut().ok_or("nothing was prepared")?;
    let since = Instant::now();
    for _ in 0..calls {
        if library == "gemm" { product.gemm(threads) } else { product.faer(threads) }
    }
    Ok(json!({ "seconds": since.elapsed().as_secs_f64() }))
}

fn say(answer: &Value) {
    println!("{answer}");
    // Lines go out one by one, because the one who asks waits for each; where it is gone, so is the reason to go on.
    if stdout().flush().is_err() {
        std::process::exit(0);
    }
}
