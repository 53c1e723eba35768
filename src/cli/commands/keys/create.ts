import { Args, Flags } from '@oclif/core';
import { MAX_KEY_DAYS, SCOPES, type Scope } from '../../../core/scope.ts';
import { CapybaraCommand } from '../../command.ts';

export default class KeysCreate extends CapybaraCommand {
  static override summary = 'Make a key. It is printed this once, and nobody can see it again.';
  static override description =
    'The key alone goes to standard output. What a key may be for: read (look), submit (hand in tasks, change sessions), approve ' +
    '(answer what agents ask), admin (people, keys, audit).';
  static override examples = [
    '<%= config.bin %> keys create laptop',
    '<%= config.bin %> keys create ci --user Ana --scope read --scope submit --expires-in-days 90',
  ];
  static override args = {
    name: Args.string({
      description: 'What it is for, as lists show it.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    user: Flags.string({
      description: 'Whose it is: usr_… or a name; yours where left out.',
      helpValue: 'USER',
    }),
    scope: Flags.string({
      description: 'What it may be used for, as often as needed; read, submit and approve where left out.',
      options: [...SCOPES],
      multiple: true,
      multipleNonGreedy: true,
    }),
    'expires-in-days': Flags.integer({
      description: 'How long it is good for; for ever where left out.',
      helpValue: 'NUMBER',
      min: 1,
      max: MAX_KEY_DAYS,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(KeysCreate);
    const loaded = await this.settings(flags);
    const { findUser, keyText } = await import('../../people.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const { user, scope, 'expires-in-days': days } = flags;
      const key = await client.createKey({
        name: args.name,
        ...(user !== undefined && { userId: await findUser(client, user) }),
        ...(scope !== undefined && { scopes: scope as Scope[] }),
        ...(days !== undefined && { expiresInDays: days }),
      });
      this.answer(flags, key, `${key.apiKey}\n`);
      if (!flags.json) this.tell(keyText(key));
    });
  }
}
