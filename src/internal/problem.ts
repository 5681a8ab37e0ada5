/** One error of the library. A code of `errno` stands for the kernel's answer to the system call named in the error. */
export interface Problem {
  readonly code: string
  /** `{name}` stands for a value. */
  readonly text: string
  readonly cause: string
  /** Becomes `error.hint`. */
  readonly remedy: string
}
