/** A shared folder as a device reaches it: whole messages to a file server, and its replies. */

/** What the command line says of a folder: plain data for the I/O thread. */
export interface ShareConfig {
  /** The option as it was given, for messages. */
  readonly option: string;
  readonly id: string;
  readonly path: string;
  readonly securityModel: string;
  readonly isReadOnly: boolean;
  /** Permissions of what is created when the guest's are kept elsewhere. */
  readonly fileMode: number;
  readonly folderMode: number;
}

export interface ShareBackend {
  /**
   * Sends the message in `out`; the reply is put into `into`, and `done` hears of its length. The views are left alone until
   * then, and `done` is never called before this has returned.
   */
  request(out: readonly Uint8Array[], into: readonly Uint8Array[], done: (replyBytes: number) => void): void;
  /** Closes everything that the guest has open. */
  reset(): void;
}
