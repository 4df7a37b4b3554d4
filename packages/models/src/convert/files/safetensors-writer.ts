import { join } from "node:path";
import type { FileLayout } from "../source.js";
import type { Weight } from "../weight.js";
import { rowBytes, rowLength } from "../weight.js";
import { eachPart, type Watch } from "../write-weight.js";
import { NewFile } from "./new-file.js";
import { headerOf, inOrder, placesOf, type Slot, slotsOf } from "./safetensors-layout.js";

/** A weight and how it is called in the file. */
export interface NamedWeight {
  readonly weight: Weight;
  readonly fileName: string;
}

/**
 * Writes weights into a folder: into `model.safetensors`, or into the files of a layout where it has the same tensors.
 *
 * @returns Whether the layout was followed.
 */
export async function writeSafetensors(
  folder: string,
  weights: readonly NamedWeight[],
  metadata: Readonly<Record<string, string>>,
  layout: readonly FileLayout[] | undefined,
  watch: Watch,
): Promise<boolean> {
  const slots = new Map<string, Slot>();
  const owner = new Map<string, NamedWeight>();
  for (const named of weights) {
    for (const slot of slotsOf(named.weight, named.fileName)) slots.set(slot.name, slot);
    owner.set(named.fileName, named);
  }
  const followed = layout === undefined ? undefined : filesLike(layout, slots);
  const files = followed ?? [newFile(slots, metadata)];
  for (const { name, header, places } of files) {
    await NewFile.write(join(folder, name), async (file) => {
      await file.writeAt(0, header);
      for (const fileName of places.keys()) {
        const named = owner.get(fileName);
        if (named !== undefined) await writeParts(file, named, places, watch);
      }
    });
  }
  return followed !== undefined;
}

interface PlannedFile extends FileLayout {
  readonly places: ReadonlyMap<string, number>;
}

function newFile(slots: ReadonlyMap<string, Slot>, metadata: Readonly<Record<string, string>>): PlannedFile {
  const header = headerOf(inOrder([...slots.values()]), metadata);
  return { name: "model.safetensors", header, places: placesOf(header, slots)! };
}

/** The files of a layout if they hold exactly these tensors, those of a weight in one file. */
function filesLike(
  layout: readonly FileLayout[],
  slots: ReadonlyMap<string, Slot>,
): readonly PlannedFile[] | undefined {
  const files: PlannedFile[] = [];
  let count = 0;
  for (const file of layout) {
    const places = placesOf(file.header, slots);
    if (places === undefined) return undefined;
    for (const name of places.keys()) {
      const codes = name.replace(/\.(?:scales|biases)$/, ".weight");
      if (!places.has(codes)) return undefined;
    }
    count += places.size;
    files.push({ ...file, places });
  }
  return count === slots.size ? files : undefined;
}

async function writeParts(
  file: NewFile,
  { weight, fileName }: NamedWeight,
  places: ReadonlyMap<string, number>,
  watch: Watch,
): Promise<void> {
  const place = (part: string): number => places.get(fileName.replace(/weight$/, part))!;
  const size = rowBytes(weight.encoding, rowLength(weight));
  await eachPart(weight, watch, async ({ data, scales, biases }, start) => {
    await file.writeAt(place("weight") + start * size.data, data);
    if (scales === undefined || biases === undefined) return;
    await file.writeAt(place("scales") + start * size.scales, scales);
    await file.writeAt(place("biases") + start * size.scales, biases);
  });
}
