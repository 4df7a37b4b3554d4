//! Reads TensorBoard's event files: an independent check of the writer.

export interface ReadEvent {
  wallTime?: number;
  step?: number;
  fileVersion?: string;
  sessionStatus?: number;
  scalars?: Record<string, number>;
}

/** Bit by bit, without tables. */
function crc(bytes: Uint8Array): number {
  let rest = 0xffffffffn;
  for (const byte of bytes) {
    rest ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) rest = rest & 1n ? (rest >> 1n) ^ 0x82f63b78n : rest >> 1n;
  }
  const value = rest ^ 0xffffffffn;
  return Number((((value >> 15n) | ((value << 17n) & 0xffffffffn)) + 0xa282ead8n) & 0xffffffffn);
}

export function readEvents(file: Buffer): ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (crc(file.subarray(at, at + 8)) !== file.readUInt32LE(at + 8)) throw new Error("CRC of a length");
    const data = file.subarray(at + 12, at + 12 + length);
    if (crc(data) !== file.readUInt32LE(at + 12 + length)) throw new Error("CRC of data");
    events.push(event(data));
    at += 16 + length;
  }
  return events;
}

type Value = number | Buffer;

function* fields(bytes: Buffer): Generator<[field: number, value: Value]> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const key = varint();
    let value: Value;
    switch (key & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        value = bytes.readDoubleLE(at);
        at += 8;
        break;
      case 2: {
        const length = varint();
        value = bytes.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        value = bytes.readFloatLE(at);
        at += 4;
        break;
      default:
        throw new Error(`wire type ${key & 7}`);
    }
    yield [key >> 3, value];
  }
}

function event(bytes: Buffer): ReadEvent {
  const out: ReadEvent = {};
  for (const [field, value] of fields(bytes)) {
    if (field === 1) out.wallTime = value as number;
    else if (field === 2) out.step = value as number;
    else if (field === 3) out.fileVersion = value.toString();
    else if (field === 5)
      out.scalars = Object.fromEntries(Array.from(fields(value as Buffer), ([, v]) => scalar(v as Buffer)));
    else if (field === 7) out.sessionStatus = Object.fromEntries(fields(value as Buffer))[1] as number;
    else throw new Error(`field ${field}`);
  }
  return out;
}

function scalar(bytes: Buffer): [string, number] {
  const { 1: tag, 2: value } = Object.fromEntries(fields(bytes));
  return [String(tag), value as number];
}
