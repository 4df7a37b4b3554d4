/// <reference lib="esnext.disposable" />
//! Every package as a namespace: `import { models, train } from "openelm"`.
export * as autograd from "@openelm/autograd";
export * as data from "@openelm/data";
export * as models from "@openelm/models";
export * as nn from "@openelm/nn";
export * as tensor from "@openelm/tensor";
export * as train from "@openelm/train";
