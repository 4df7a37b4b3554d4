import { OpenELMError } from "@openelm/tensor";

/** A check of this package that does not hold; the message has both numbers and the place. */
export class CheckError extends OpenELMError {
  constructor(message: string) {
    super("CHECK_FAILED", message);
  }
}
