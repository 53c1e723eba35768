import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class KeysRevoke extends CapybaraCommand {
  static override summary = 'Revoke a key: it opens nothing any more.';
  static override examples = ['<%= config.bin %> keys revoke key_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'key_…, as `keys list` shows it, or its beginning.',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(KeysRevoke);
    const loaded = await this.settings(flags);
    const { findKey } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const removed = await client.revokeKey(await findKey(client, args.id));
      this.say(flags, removed, `${removed.id} revoked\n`);
    });
  }
}
