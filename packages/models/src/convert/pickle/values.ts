//! What a pickle of tensors is made of.

/** A class or function that a pickle names; none is ever called. */
export class Global {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** What `persistent_load` would give: in files of torch a storage. */
export class PersistentId {
  readonly id: PickleValue;

  constructor(id: PickleValue) {
    this.id = id;
  }
}

/** The numbers of a tensor in a file: bytes of a record, seen through an offset, a shape and strides. */
export interface Storage {
  /** Name of the record. */
  readonly key: string;
  /** As torch calls the class, such as `BFloat16Storage`. */
  readonly type: string;
  readonly elements: number;
}

/** A tensor of a file. */
export class StoredTensor {
  readonly storage: Storage;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** An object of a known class whose value is of no use here. */
export class Opaque {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Values that come out of a pickle. Lists and maps may hold themselves. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | Map<PickleValue, PickleValue>
  | Global
  | PersistentId
  | StoredTensor
  | Opaque;

/** A tuple, which is a list that has another name. */
export class PickleTuple {
  readonly items: readonly PickleValue[];

  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}
