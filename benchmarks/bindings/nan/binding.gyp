{
  "targets": [
    {
      "target_name": "nan_class",
      "sources": ["floats.cc"],
      "include_dirs": ["<!(node -p \"require('path').dirname(require.resolve('nan/package.json', {paths: [process.env.OPENELM_BENCH_PEERS]}))\")"],
      "cflags": ["-O2"],
    }
  ]
}
