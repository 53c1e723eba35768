import { Args, Flags } from '@oclif/core';
import { CapybaraCommand } from '../../command.ts';

export default class ApprovalsDeny extends CapybaraCommand {
  static override summary = 'Deny what an agent asked for: the agent is told, and may do something else.';
  static override examples = [
    '<%= config.bin %> approvals deny apr_0198c17e5d0a7f3c8b1e2d4f6a8c0e1f --message "use the staging database"',
  ];
  static override args = {
    id: Args.string({
      description: 'apr_…, as `approvals list` shows it.',
      required: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    message: Flags.string({ description: 'Something to tell the agent.', helpValue: 'TEXT' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ApprovalsDeny);
    const loaded = await this.settings(flags);
    const { goesOnText } = await import('../../whole-call.ts');
    await this.withConnection(loaded, { start: 'answering' }, async ({ client, kind }) => {
      const message = flags.message === undefined ? {} : { message: flags.message };
      const approval = await client.resolveApproval(args.id, { decision: 'deny', ...message });
      this.answer(flags, approval, `${approval.id} ${approval.status}\n${goesOnText(kind, approval.taskId)}`);
    });
  }
}
