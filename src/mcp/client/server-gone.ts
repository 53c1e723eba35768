/** A server that ended, or cannot be reached. `message` completes "the MCP server x …". */
export class ServerGone extends Error {
  override readonly name = 'ServerGone';
  /** What it said on its standard error, at most its beginning: a stranger's words. */
  readonly errors: string | undefined;

  constructor(message: string, errors: string | undefined) {
    super(message);
    this.errors = errors?.trim() || undefined;
  }
}
