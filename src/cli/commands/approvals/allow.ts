import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ApprovalsAllow extends CapybaraCommand {
  static override summary = 'Allow what an agent asked for: the agent goes on.';
  static override examples = [
    '<%= config.bin %> approvals allow apr_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f',
    '<%= config.bin %> approvals allow apr_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f --always',
  ];
  static override args = {
    id: Args.string({
      description: 'apr_…, as `approvals list` shows it.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    always: Flags.boolean({
      description: 'Allow it from now on, too: what `approvals list` says that `always` allows.',
    }),
    message: Flags.string({ description: 'Something to tell the agent.', helpValue: 'TEXT' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ApprovalsAllow);
    const loaded = await this.settings(flags);
    const { goesOnText, madeRuleText } = await import('../../whole-call.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client, kind }) => {
      const message = flags.message === undefined ? {} : { message: flags.message };
      const decision = flags.always ? 'allow_always' : 'allow';
      const approval = await client.resolveApproval(args.id, { decision, ...message });
      const rule = madeRuleText(approval, { columns: this.columns });
      const next = goesOnText(kind, approval.taskId);
      this.answer(flags, approval, `${approval.id} ${approval.status}\n${rule}${next}`);
    });
  }
}
