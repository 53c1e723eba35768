import { Args } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class RulesRevoke extends CapybaraCommand {
  static override summary = 'Take back what was allowed always: agents ask again.';
  static override examples = ['<%= config.bin %> rules revoke rule_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f'];
  static override args = {
    id: Args.string({
      description: 'rule_… or its beginning, as `rules list` shows it.',
      required: true,
      ignoreStdin: true,
    }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(RulesRevoke);
    const loaded = await this.settings(flags);
    const { findRule } = await import('../../find.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client }) => {
      const rule = await client.revokeRule(await findRule(client, args.id));
      this.say(flags, rule, `${rule.id} revoked\n`);
    });
  }
}
