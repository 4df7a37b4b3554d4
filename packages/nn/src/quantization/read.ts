import { Scope, type Tensor } from "@openelm/tensor";

/** The numbers of what `make` makes; tensors that it made on the way are freed. */
export async function numbersOf<A>(make: () => Tensor): Promise<A> {
  using scope = new Scope();
  return (await scope.run(make).data()) as A;
}
