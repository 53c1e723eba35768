-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "team" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "operates" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "signing_webhook_id" UUID,

    CONSTRAINT "team_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "user" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "left_at" TIMESTAMPTZ(3),

    CONSTRAINT "user_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "api_key" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "scopes" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "expires_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "made_with" UUID,
    "request_hash" BYTEA,

    CONSTRAINT "api_key_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "key_id" UUID NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "action" TEXT NOT NULL,
    "subject" TEXT,
    "status" INTEGER,

    CONSTRAINT "audit_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "idempotency_key" (
    "team_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "request_hash" BYTEA NOT NULL,
    "task_id" UUID,
    "answer" JSONB,
    "session_id" UUID,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "idempotency_key_pkey" PRIMARY KEY ("team_id","key")
);

-- CreateTable
CREATE TABLE "profile" (
    "hash" BYTEA NOT NULL,
    "body" JSONB NOT NULL,

    CONSTRAINT "profile_pkey" PRIMARY KEY ("hash")
);

-- CreateTable
CREATE TABLE "workspace" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "path" TEXT,
    "source" JSONB,
    "rules" JSONB,
    "project_servers" JSONB,
    "lineage" UUID NOT NULL,
    "base" TEXT,
    "head" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "workspace_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "upload" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "directory" TEXT NOT NULL,
    "lineage" UUID NOT NULL,
    "snapshot" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "used_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "upload_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "session" (
    "id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "parent_id" UUID,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "workspace_id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "archived_at" TIMESTAMPTZ(3),
    "forked_from" UUID,
    "forked_at" INTEGER,
    "depth" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "session_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "tree" (
    "root_id" UUID NOT NULL,
    "last_seq" BIGINT NOT NULL DEFAULT 0,
    "turns" INTEGER NOT NULL DEFAULT 0,
    "children" INTEGER NOT NULL DEFAULT 0,
    "tokens_used" BIGINT NOT NULL DEFAULT 0,
    "tokens_reserved" BIGINT NOT NULL DEFAULT 0,
    "usd_used" DECIMAL(24,12) NOT NULL DEFAULT 0,
    "usd_reserved" DECIMAL(24,12) NOT NULL DEFAULT 0,

    CONSTRAINT "tree_pkey" PRIMARY KEY ("root_id")
);

-- CreateTable
CREATE TABLE "task" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "waiting_on" TEXT,
    "profile_hash" BYTEA NOT NULL,
    "turn_limit" INTEGER NOT NULL,
    "tree_turn_limit" INTEGER NOT NULL,
    "token_limit" BIGINT,
    "usd_limit" DECIMAL(24,12),
    "seconds_limit" INTEGER,
    "child_limit" INTEGER NOT NULL DEFAULT 0,
    "concurrent_limit" INTEGER NOT NULL DEFAULT 0,
    "depth_limit" INTEGER NOT NULL DEFAULT 0,
    "parent_task_id" UUID,
    "own_token_limit" BIGINT,
    "own_usd_limit" DECIMAL(24,12),
    "result_schema" JSONB,
    "clock_stopped_at" TIMESTAMPTZ(3),
    "on_limit" TEXT NOT NULL DEFAULT 'fail',
    "answer_tokens" INTEGER,
    "prices" JSONB,
    "deadline_at" TIMESTAMPTZ(3),
    "cancel_requested_at" TIMESTAMPTZ(3),
    "paused_at" TIMESTAMPTZ(3),
    "result_position" INTEGER,
    "error_code" TEXT,
    "error_message" TEXT,
    "traceparent" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "webhook_url" TEXT,
    "schedule_id" UUID,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "task_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "turn" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "kind" TEXT NOT NULL DEFAULT 'answer',
    "uncounted" INTEGER NOT NULL DEFAULT 0,
    "overflows" INTEGER NOT NULL DEFAULT 0,
    "format" INTEGER NOT NULL DEFAULT 1,
    "status" TEXT NOT NULL,
    "due_at" TIMESTAMPTZ(3),
    "wake" INTEGER NOT NULL DEFAULT 0,
    "checked_at" TIMESTAMPTZ(3),
    "attempt_id" UUID,
    "answer_position" INTEGER,
    "open_waits" INTEGER NOT NULL DEFAULT 0,
    "takeovers" INTEGER NOT NULL DEFAULT 0,
    "retries" INTEGER NOT NULL DEFAULT 0,
    "route" JSONB,
    "tokens_to_resend" BIGINT NOT NULL DEFAULT 0,
    "tokens_reserved" BIGINT NOT NULL DEFAULT 0,
    "usd_reserved" DECIMAL(24,12) NOT NULL DEFAULT 0,
    "at_limit" TEXT,
    "for_slot" BOOLEAN NOT NULL DEFAULT false,
    "is_paused" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "turn_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "attempt" (
    "id" UUID NOT NULL,
    "turn_id" UUID NOT NULL,
    "worker_id" UUID NOT NULL,
    "outcome" TEXT,
    "failure" JSONB,
    "bucket" TEXT,
    "tokens_taken" BIGINT,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "attempt_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "worker" (
    "id" UUID NOT NULL,
    "host" TEXT NOT NULL,
    "pid" INTEGER NOT NULL,
    "pid_started_at" TEXT NOT NULL,
    "lock_key" BIGINT NOT NULL,
    "version" TEXT NOT NULL,
    "lease_expires_at" TIMESTAMPTZ(3) NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "worker_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "message" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "user_id" UUID,
    "parts" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "taken_position" INTEGER,

    CONSTRAINT "message_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "entry" (
    "session_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "task_id" UUID,
    "turn_id" UUID,
    "kind" TEXT NOT NULL,
    "parts" JSONB,
    "noted" JSONB,
    "replaces" JSONB,
    "message_id" UUID,
    "stop_reason" TEXT,
    "call_id" TEXT,
    "status" TEXT,
    "reverts_to" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "entry_pkey" PRIMARY KEY ("session_id","position")
);

-- CreateTable
CREATE TABLE "revision" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "snapshot" TEXT,
    "from_session_id" UUID,
    "theirs" TEXT,
    "base" TEXT,
    "conflicts" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "revision_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "todo" (
    "session_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,
    "text" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "todo_pkey" PRIMARY KEY ("session_id","position")
);

-- CreateTable
CREATE TABLE "tool_call" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "turn_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "call_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "effect" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "denial" TEXT,
    "result_position" INTEGER,
    "output_hash" BYTEA,
    "snapshot" TEXT,
    "started_at" TIMESTAMPTZ(3),
    "duration_ms" INTEGER,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "tool_call_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "delegation" (
    "tool_call_id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "root_task_id" UUID NOT NULL,
    "turn_id" UUID NOT NULL,
    "child_session_id" UUID NOT NULL,
    "child_task_id" UUID NOT NULL,
    "isolation" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'open',
    "has_slot" BOOLEAN NOT NULL DEFAULT false,
    "is_continued" BOOLEAN NOT NULL DEFAULT false,
    "is_merged" BOOLEAN NOT NULL DEFAULT false,
    "base" TEXT,
    "head" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "delegation_pkey" PRIMARY KEY ("tool_call_id")
);

-- CreateTable
CREATE TABLE "background_process" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "tool_call_id" UUID NOT NULL,
    "worker_id" UUID,
    "number" INTEGER NOT NULL,
    "command" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "ended_at" TIMESTAMPTZ(3),
    "end" TEXT,

    CONSTRAINT "background_process_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "output" (
    "hash" BYTEA NOT NULL,
    "size" INTEGER NOT NULL,
    "body" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "output_pkey" PRIMARY KEY ("hash")
);

-- CreateTable
CREATE TABLE "output_use" (
    "output_hash" BYTEA NOT NULL,
    "session_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "output_use_pkey" PRIMARY KEY ("output_hash","session_id")
);

-- CreateTable
CREATE TABLE "passage" (
    "id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "position" INTEGER,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "words" tsvector NOT NULL,

    CONSTRAINT "passage_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "approval" (
    "id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "turn_id" UUID NOT NULL,
    "tool_call_id" UUID NOT NULL,
    "status" TEXT NOT NULL,
    "message" TEXT,
    "always" JSONB,
    "expires_at" TIMESTAMPTZ(3),
    "resolved_by" UUID,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "resolved_at" TIMESTAMPTZ(3),

    CONSTRAINT "approval_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "permission_rule" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "root_id" UUID,
    "path" TEXT,
    "tool" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "approval_id" UUID NOT NULL,
    "created_by" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "revoked_by" UUID,
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "permission_rule_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event" (
    "root_id" UUID NOT NULL,
    "seq" BIGINT NOT NULL,
    "type" TEXT NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID,
    "turn" INTEGER,
    "data" JSONB NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "event_pkey" PRIMARY KEY ("root_id","seq")
);

-- CreateTable
CREATE TABLE "webhook" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "url" TEXT NOT NULL,
    "events" TEXT[],
    "secret" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "failing_since" TIMESTAMPTZ(3),
    "disabled_at" TIMESTAMPTZ(3),
    "disabled_reason" TEXT,
    "removed_at" TIMESTAMPTZ(3),
    "request_hash" BYTEA NOT NULL,

    CONSTRAINT "webhook_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "mcp_server" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "settings" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "mcp_server_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "mcp_sign_in" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID,
    "server" TEXT NOT NULL,
    "secret" BYTEA NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "expires_at" TIMESTAMPTZ(3),
    "claim" UUID,
    "claimed_until" TIMESTAMPTZ(3),
    "failure" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "mcp_sign_in_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_delivery" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "webhook_id" UUID,
    "task_id" UUID,
    "type" TEXT NOT NULL,
    "root_id" UUID,
    "seq" BIGINT,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "tries" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) DEFAULT clock_timestamp(),
    "claim" UUID,
    "wake" INTEGER NOT NULL DEFAULT 0,
    "queued_at" TIMESTAMPTZ(3),
    "answered" INTEGER,
    "said" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "tried_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "webhook_delivery_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "schedule" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "key_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "cron" TEXT,
    "every_seconds" INTEGER,
    "time_zone" TEXT NOT NULL,
    "task" JSONB NOT NULL,
    "overlap" TEXT NOT NULL,
    "revision" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3),
    "error_code" TEXT,
    "error_message" TEXT,
    "erred_at" TIMESTAMPTZ(3),
    "skipped_at" TIMESTAMPTZ(3),
    "request_hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "disabled_at" TIMESTAMPTZ(3),
    "disabled_reason" TEXT,
    "removed_at" TIMESTAMPTZ(3),

    CONSTRAINT "schedule_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "usage" (
    "attempt_id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "root_id" UUID NOT NULL,
    "session_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "turn_id" UUID NOT NULL,
    "outcome" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "input" INTEGER NOT NULL,
    "output" INTEGER NOT NULL,
    "cached" INTEGER NOT NULL,
    "cache_written" INTEGER NOT NULL DEFAULT 0,
    "reasoning" INTEGER NOT NULL,
    "usd" DECIMAL(24,12),
    "prices" JSONB,
    "latency_ms" INTEGER,
    "first_token_ms" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "usage_pkey" PRIMARY KEY ("attempt_id")
);

-- CreateTable
CREATE TABLE "rate_bucket" (
    "name" TEXT NOT NULL,
    "requests_per_minute" INTEGER,
    "tokens_per_minute" INTEGER,
    "requests_full_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),
    "tokens_full_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),
    "paused_until" TIMESTAMPTZ(3),

    CONSTRAINT "rate_bucket_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "rate_line" (
    "turn_id" UUID NOT NULL,
    "bucket" TEXT NOT NULL,
    "since" TIMESTAMPTZ(6) NOT NULL,
    "due_at" TIMESTAMPTZ(6) NOT NULL,
    "tokens" BIGINT NOT NULL,
    "attempt_id" UUID NOT NULL,

    CONSTRAINT "rate_line_pkey" PRIMARY KEY ("turn_id")
);

-- CreateTable
CREATE TABLE "model_health" (
    "name" TEXT NOT NULL,
    "strikes" INTEGER NOT NULL,
    "until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "model_health_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "metric_total" (
    "series" TEXT NOT NULL,
    "label" TEXT NOT NULL,
    "bucket" INTEGER NOT NULL,
    "count" BIGINT NOT NULL,
    "sum" DECIMAL(30,12) NOT NULL,

    CONSTRAINT "metric_total_pkey" PRIMARY KEY ("series","label","bucket")
);

-- CreateTable
CREATE TABLE "metric_mark" (
    "id" BOOLEAN NOT NULL DEFAULT true,
    "counted_to" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "metric_mark_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "team_name_key" ON "team"("name");

-- CreateIndex
CREATE UNIQUE INDEX "user_team_id_name_key" ON "user"("team_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "api_key_hash_key" ON "api_key"("hash");

-- CreateIndex
CREATE INDEX "api_key_prefix_idx" ON "api_key"("prefix");

-- CreateIndex
CREATE INDEX "api_key_team_id_id_idx" ON "api_key"("team_id", "id");

-- CreateIndex
CREATE INDEX "audit_team_id_id_idx" ON "audit"("team_id", "id");

-- CreateIndex
CREATE INDEX "audit_at_idx" ON "audit"("at");

-- CreateIndex
CREATE INDEX "idempotency_key_created_at_idx" ON "idempotency_key"("created_at");

-- CreateIndex
CREATE INDEX "workspace_lineage_idx" ON "workspace"("lineage");

-- CreateIndex
CREATE INDEX "upload_lineage_idx" ON "upload"("lineage");

-- CreateIndex
CREATE INDEX "upload_used_at_idx" ON "upload"("used_at");

-- CreateIndex
CREATE INDEX "session_workspace_id_idx" ON "session"("workspace_id");

-- CreateIndex
CREATE INDEX "session_team_id_id_idx" ON "session"("team_id", "id");

-- CreateIndex
CREATE INDEX "session_root_id_idx" ON "session"("root_id");

-- CreateIndex
CREATE INDEX "task_team_id_id_idx" ON "task"("team_id", "id");

-- CreateIndex
CREATE INDEX "task_parent_task_id_idx" ON "task"("parent_task_id");

-- CreateIndex
CREATE UNIQUE INDEX "task_session_id_ordinal_key" ON "task"("session_id", "ordinal");

-- CreateIndex
CREATE UNIQUE INDEX "turn_task_id_number_key" ON "turn"("task_id", "number");

-- CreateIndex
CREATE INDEX "turn_session_id_idx" ON "turn"("session_id");

-- CreateIndex
CREATE INDEX "attempt_turn_id_idx" ON "attempt"("turn_id");

-- CreateIndex
CREATE INDEX "message_task_id_idx" ON "message"("task_id");

-- CreateIndex
CREATE INDEX "message_session_id_idx" ON "message"("session_id");

-- CreateIndex
CREATE INDEX "message_created_at_idx" ON "message"("created_at");

-- CreateIndex
CREATE UNIQUE INDEX "entry_message_id_key" ON "entry"("message_id");

-- CreateIndex
CREATE UNIQUE INDEX "revision_session_id_position_key" ON "revision"("session_id", "position");

-- CreateIndex
CREATE INDEX "tool_call_session_id_id_idx" ON "tool_call"("session_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "tool_call_turn_id_ordinal_key" ON "tool_call"("turn_id", "ordinal");

-- CreateIndex
CREATE UNIQUE INDEX "delegation_child_task_id_key" ON "delegation"("child_task_id");

-- CreateIndex
CREATE INDEX "delegation_turn_id_idx" ON "delegation"("turn_id");

-- CreateIndex
CREATE INDEX "delegation_root_task_id_idx" ON "delegation"("root_task_id");

-- CreateIndex
CREATE INDEX "delegation_child_session_id_idx" ON "delegation"("child_session_id");

-- CreateIndex
CREATE UNIQUE INDEX "background_process_session_id_number_key" ON "background_process"("session_id", "number");

-- CreateIndex
CREATE INDEX "background_process_tool_call_id_idx" ON "background_process"("tool_call_id");

-- CreateIndex
CREATE INDEX "output_use_session_id_idx" ON "output_use"("session_id");

-- CreateIndex
CREATE INDEX "passage_session_id_idx" ON "passage"("session_id");

-- CreateIndex
CREATE INDEX "passage_at_idx" ON "passage"("at");

-- CreateIndex
CREATE INDEX "passage_words_idx" ON "passage" USING GIN ("words");

-- CreateIndex
CREATE UNIQUE INDEX "approval_tool_call_id_key" ON "approval"("tool_call_id");

-- CreateIndex
CREATE UNIQUE INDEX "permission_rule_approval_id_key" ON "permission_rule"("approval_id");

-- CreateIndex
CREATE INDEX "webhook_team_id_id_idx" ON "webhook"("team_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "mcp_server_team_id_name_key" ON "mcp_server"("team_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "mcp_sign_in_team_id_server_key" ON "mcp_sign_in"("team_id", "server");

-- CreateIndex
CREATE INDEX "webhook_delivery_team_id_created_at_id_idx" ON "webhook_delivery"("team_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "webhook_delivery_webhook_id_created_at_id_idx" ON "webhook_delivery"("webhook_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "webhook_delivery_root_id_idx" ON "webhook_delivery"("root_id");

-- CreateIndex
CREATE INDEX "schedule_team_id_created_at_id_idx" ON "schedule"("team_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "usage_task_id_created_at_idx" ON "usage"("task_id", "created_at");

-- CreateIndex
CREATE INDEX "rate_line_bucket_since_idx" ON "rate_line"("bucket", "since");

-- CreateIndex
CREATE INDEX "usage_team_id_created_at_idx" ON "usage"("team_id", "created_at");

-- CreateIndex
CREATE INDEX "usage_created_at_idx" ON "usage"("created_at");

-- AddForeignKey
ALTER TABLE "user" ADD CONSTRAINT "user_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "user"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "session" ADD CONSTRAINT "session_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "session" ADD CONSTRAINT "session_workspace_id_fkey" FOREIGN KEY ("workspace_id") REFERENCES "workspace"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "session" ADD CONSTRAINT "session_forked_from_fkey" FOREIGN KEY ("forked_from") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_profile_hash_fkey" FOREIGN KEY ("profile_hash") REFERENCES "profile"("hash") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "turn" ADD CONSTRAINT "turn_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "turn" ADD CONSTRAINT "turn_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "task"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempt" ADD CONSTRAINT "attempt_turn_id_fkey" FOREIGN KEY ("turn_id") REFERENCES "turn"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempt" ADD CONSTRAINT "attempt_worker_id_fkey" FOREIGN KEY ("worker_id") REFERENCES "worker"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "message" ADD CONSTRAINT "message_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "task"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "entry" ADD CONSTRAINT "entry_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "entry" ADD CONSTRAINT "entry_message_id_fkey" FOREIGN KEY ("message_id") REFERENCES "message"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "revision" ADD CONSTRAINT "revision_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "todo" ADD CONSTRAINT "todo_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tool_call" ADD CONSTRAINT "tool_call_turn_id_fkey" FOREIGN KEY ("turn_id") REFERENCES "turn"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "tool_call" ADD CONSTRAINT "tool_call_output_hash_fkey" FOREIGN KEY ("output_hash") REFERENCES "output"("hash") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "background_process" ADD CONSTRAINT "background_process_tool_call_id_fkey" FOREIGN KEY ("tool_call_id") REFERENCES "tool_call"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "background_process" ADD CONSTRAINT "background_process_worker_id_fkey" FOREIGN KEY ("worker_id") REFERENCES "worker"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "output_use" ADD CONSTRAINT "output_use_output_hash_fkey" FOREIGN KEY ("output_hash") REFERENCES "output"("hash") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "passage" ADD CONSTRAINT "passage_session_id_fkey" FOREIGN KEY ("session_id") REFERENCES "session"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "permission_rule" ADD CONSTRAINT "permission_rule_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "webhook" ADD CONSTRAINT "webhook_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "mcp_server" ADD CONSTRAINT "mcp_server_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "mcp_sign_in" ADD CONSTRAINT "mcp_sign_in_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "schedule" ADD CONSTRAINT "schedule_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;



-- What Prisma's language cannot say.

-- States: the unions of src/core, kept a second time (STYLE 4).
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_scopes" CHECK (
  scopes IS NOT NULL AND cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'submit', 'approve', 'admin']
);
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_request" CHECK ((made_with IS NULL) = (request_hash IS NULL));

ALTER TABLE "workspace" ADD CONSTRAINT "workspace_kind" CHECK (
  kind IN ('local', 'git', 'upload', 'empty', 'roots') AND (path IS NOT NULL) = (kind = 'local')
  AND (kind = 'local' OR (source IS NOT NULL) = (kind IN ('git', 'upload', 'roots')))
  AND (rules IS NULL OR kind = 'empty')
);
ALTER TABLE "workspace" ADD CONSTRAINT "workspace_servers" CHECK (jsonb_typeof(project_servers) = 'object' AND project_servers <> '{}');

ALTER TABLE "session" ADD CONSTRAINT "session_forked" CHECK ((forked_from IS NULL) = (forked_at IS NULL) AND forked_at >= 0);

ALTER TABLE "task"
  ADD CONSTRAINT "task_status" CHECK (status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
  ADD CONSTRAINT "task_waiting_on" CHECK (
    CASE WHEN status = 'waiting' THEN waiting_on IS NOT NULL AND waiting_on IN ('approval', 'children', 'retry', 'budget', 'slot') ELSE waiting_on IS NULL END
  ),
  ADD CONSTRAINT "task_ended" CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
  ADD CONSTRAINT "task_started" CHECK (
    status NOT IN ('running', 'waiting', 'succeeded') OR started_at IS NOT NULL OR waiting_on IS NOT DISTINCT FROM 'slot'
  ),
  ADD CONSTRAINT "task_error" CHECK ((status = 'failed') = (error_code IS NOT NULL) AND (error_code IS NULL) = (error_message IS NULL)),
  ADD CONSTRAINT "task_result" CHECK (result_position IS NULL OR status = 'succeeded'),
  ADD CONSTRAINT "task_limits" CHECK (turn_limit > 0 AND tree_turn_limit > 0 AND token_limit > 0 AND usd_limit > 0 AND seconds_limit > 0),
  ADD CONSTRAINT "task_paused" CHECK (paused_at IS NULL OR ended_at IS NULL),
  ADD CONSTRAINT "task_delegated" CHECK (
    least(child_limit, concurrent_limit, depth_limit) >= 0 AND least(own_token_limit, own_usd_limit) > 0
    AND (parent_task_id IS NOT NULL OR (waiting_on IS DISTINCT FROM 'slot' AND own_token_limit IS NULL AND own_usd_limit IS NULL AND clock_stopped_at IS NULL))
    AND (clock_stopped_at IS NULL OR deadline_at IS NOT NULL)
  ),
  ADD CONSTRAINT "task_on_limit" CHECK (on_limit IN ('fail', 'park')),
  ADD CONSTRAINT "task_accounts" CHECK (answer_tokens > 0 AND (usd_limit IS NULL OR prices IS NOT NULL));

-- A turn is written in every transition, and Postgres reads a CHECK's text anew for every statement: a call costs it least.
CREATE FUNCTION turn_is_legal(t "turn") RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF t.number < 1 OR least(t.takeovers, t.retries, t.open_waits, t.tokens_to_resend, t.tokens_reserved, t.usd_reserved, t.overflows) < 0 THEN
    RETURN false;
  END IF;
  IF t.status <> 'running' AND (t.tokens_reserved > 0 OR t.usd_reserved > 0) THEN RETURN false; END IF;
  IF t.at_limit IS NOT NULL AND (t.status <> 'parked' OR t.at_limit <> ALL ('{turns,tree_turns,tokens,usd,seconds}')) THEN
    RETURN false;
  END IF;
  IF t.is_paused AND (t.status <> 'parked' OR t.at_limit IS NOT NULL OR t.for_slot) THEN RETURN false; END IF;
  IF t.for_slot AND (t.status <> 'parked' OR t.at_limit IS NOT NULL OR t.open_waits > 0) THEN RETURN false; END IF;
  CASE t.status
    WHEN 'running' THEN
      RETURN t.attempt_id IS NOT NULL AND t.started_at IS NOT NULL AND t.ended_at IS NULL AND t.due_at IS NULL
         AND (t.answer_position IS NULL OR (t.tokens_reserved = 0 AND t.usd_reserved = 0));
    WHEN 'ready' THEN
      RETURN t.attempt_id IS NULL AND t.ended_at IS NULL;
    WHEN 'queued' THEN
      RETURN t.attempt_id IS NULL AND t.ended_at IS NULL AND t.due_at IS NULL
         AND t.wake > 0 AND t.checked_at IS NOT NULL;
    WHEN 'parked' THEN
      RETURN t.attempt_id IS NULL AND t.ended_at IS NULL AND t.due_at IS NULL
         AND (t.at_limit IS NOT NULL OR t.for_slot OR t.is_paused OR (t.open_waits > 0 AND t.started_at IS NOT NULL));
    WHEN 'done' THEN
      RETURN t.attempt_id IS NULL AND t.ended_at IS NOT NULL AND t.due_at IS NULL
         AND t.open_waits = 0 AND t.started_at IS NOT NULL;
    WHEN 'failed', 'cancelled' THEN
      RETURN t.attempt_id IS NULL AND t.ended_at IS NOT NULL AND t.due_at IS NULL AND t.open_waits = 0;
    ELSE
      RETURN false;
  END CASE;
END $$;
ALTER TABLE "turn"
  ADD CONSTRAINT "turn_state" CHECK (turn_is_legal("turn")),
  ADD CONSTRAINT "turn_kind" CHECK (
    CASE kind WHEN 'answer' THEN (status <> 'done' OR answer_position IS NOT NULL) AND uncounted BETWEEN 0 AND number
         WHEN 'compaction' THEN answer_position IS NULL AND uncounted BETWEEN 1 AND number ELSE false END
  );

ALTER TABLE "attempt" ADD CONSTRAINT "attempt_outcome" CHECK (
  CASE WHEN ended_at IS NULL THEN outcome IS NULL
       ELSE outcome IS NOT NULL AND outcome = ANY ('{settled,parked,retry,drained,lost,cancelled,failed}') END
);

ALTER TABLE "tree" ADD CONSTRAINT "tree_accounts" CHECK (
  turns >= 0 AND tokens_used >= 0 AND tokens_reserved >= 0 AND usd_used >= 0 AND usd_reserved >= 0
);

ALTER TABLE "entry" ADD CONSTRAINT "entry_kind" CHECK (
  (parts IS NULL) <> (message_id IS NULL)
  AND (kind = 'assistant') = (stop_reason IS NOT NULL) AND (kind = 'tool_result') = (call_id IS NOT NULL)
  AND (call_id IS NULL) = (status IS NULL)
  AND (task_id IS NULL) = (turn_id IS NULL) AND (turn_id IS NOT NULL OR kind IN ('notice', 'revert'))
  AND (noted IS NULL OR kind IN ('tool_result', 'notice', 'assistant'))
  AND (reverts_to IS NOT NULL) = (kind = 'revert') AND (reverts_to IS NULL OR reverts_to BETWEEN 0 AND position - 1)
  AND CASE kind
        WHEN 'tool_result' THEN message_id IS NULL AND status = ANY ('{succeeded,failed,denied,interrupted,unknown}')
        WHEN 'assistant' THEN message_id IS NULL AND stop_reason = ANY ('{stop,tool_calls,length,refusal}')
        WHEN 'notice' THEN message_id IS NULL
        WHEN 'revert' THEN message_id IS NULL AND turn_id IS NULL
        WHEN 'pruning' THEN message_id IS NULL
        WHEN 'compaction' THEN message_id IS NULL
        ELSE kind = 'user'
      END
);

ALTER TABLE "entry" ADD CONSTRAINT "entry_replaces" CHECK (
  CASE kind WHEN 'pruning' THEN coalesce(jsonb_typeof(replaces->'results') = 'array', false)
       WHEN 'compaction' THEN coalesce((replaces->>'after')::int BETWEEN 0 AND (replaces->>'to')::int
                                       AND (replaces->>'to')::int < position, false)
       ELSE replaces IS NULL END
);

ALTER TABLE "revision" ADD CONSTRAINT "revision_kind" CHECK (
  kind IN ('revert', 'merge', 'compact') AND (kind = 'merge') = (from_session_id IS NOT NULL) AND (kind = 'merge') = (theirs IS NOT NULL)
  AND (kind = 'merge') = (base IS NOT NULL) AND (kind = 'merge') = (conflicts IS NOT NULL)
);

ALTER TABLE "todo" ADD CONSTRAINT "todo_item" CHECK (
  position > 0 AND text <> '' AND status IN ('pending', 'in_progress', 'done', 'cancelled')
);

ALTER TABLE "tool_call"
  ADD CONSTRAINT "tool_call_effect" CHECK (effect = ANY ('{read,workspace,external,delegate}')),
  ADD CONSTRAINT "tool_call_status" CHECK (
    CASE WHEN ended_at IS NULL
      THEN result_position IS NULL AND status = ANY ('{requested,awaiting_approval,started}')
           AND (status <> 'started' OR started_at IS NOT NULL)
      ELSE result_position IS NOT NULL AND status = ANY ('{succeeded,failed,denied,interrupted,unknown}') END
  );

ALTER TABLE "session" ADD CONSTRAINT "session_depth" CHECK (
  depth >= 0 AND (depth = 0) = (parent_id IS NULL) AND (parent_id IS NULL) = (id = root_id)
);

ALTER TABLE "delegation"
  ADD CONSTRAINT "delegation_status" CHECK (status IN ('open', 'ended', 'abandoned') AND (status = 'open') = (ended_at IS NULL)),
  ADD CONSTRAINT "delegation_slot" CHECK (NOT has_slot OR status = 'open'),
  ADD CONSTRAINT "delegation_isolation" CHECK (isolation IN ('fork', 'shared') AND (isolation = 'fork' OR (base IS NULL AND head IS NULL)));

ALTER TABLE "background_process"
  ADD CONSTRAINT "background_process_number" CHECK (number > 0),
  ADD CONSTRAINT "background_process_end" CHECK ((ended_at IS NULL) = ("end" IS NULL));

ALTER TABLE "approval"
  ADD CONSTRAINT "approval_status" CHECK (status IN ('open', 'allowed', 'denied', 'expired', 'closed')),
  ADD CONSTRAINT "approval_answered" CHECK (status NOT IN ('allowed', 'denied') OR resolved_by IS NOT NULL),
  ADD CONSTRAINT "approval_resolved" CHECK ((status = 'open') = (resolved_at IS NULL)),
  ADD CONSTRAINT "approval_expired" CHECK (status <> 'expired' OR expires_at IS NOT NULL);

ALTER TABLE "permission_rule"
  ADD CONSTRAINT "permission_rule_scope" CHECK ((root_id IS NULL) <> (path IS NULL)),
  ADD CONSTRAINT "permission_rule_kind" CHECK (kind IN ('command', 'path', 'arguments')),
  ADD CONSTRAINT "permission_rule_revoked" CHECK ((revoked_by IS NULL) = (revoked_at IS NULL));

ALTER TABLE "usage"
  ADD CONSTRAINT "usage_outcome" CHECK (outcome IN ('recorded', 'estimated', 'unknown')),
  ADD CONSTRAINT "usage_usd" CHECK (usd >= 0 AND (usd IS NULL) = (prices IS NULL));

ALTER TABLE "webhook"
  -- As `src/store/sealing.ts` seals; shorter than header, nonce and tag nothing is.
  ADD CONSTRAINT "webhook_secret_sealed" CHECK (
    CASE WHEN secret IS NULL THEN removed_at IS NOT NULL ELSE octet_length(secret) > 37 AND get_byte(secret, 0) = 1 END),
  ADD CONSTRAINT "webhook_events" CHECK (events IS NOT NULL),
  ADD CONSTRAINT "webhook_disabled" CHECK (
    CASE WHEN disabled_at IS NULL THEN disabled_reason IS NULL
         ELSE disabled_reason IS NOT NULL AND disabled_reason IN ('person', 'gone', 'failing') END
  );

ALTER TABLE "mcp_server"
  ADD CONSTRAINT "mcp_server_sealed" CHECK (octet_length(settings) > 37 AND get_byte(settings, 0) = 1);

ALTER TABLE "mcp_sign_in"
  ADD CONSTRAINT "mcp_sign_in_sealed" CHECK (octet_length(secret) > 37 AND get_byte(secret, 0) = 1),
  ADD CONSTRAINT "mcp_sign_in_claim" CHECK ((claim IS NULL) = (claimed_until IS NULL));

-- As with turns: one is written beside many an event.
CREATE FUNCTION delivery_is_legal(d "webhook_delivery") RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  -- To a webhook or to a task's URL; of an event, or a test of a webhook.
  IF (d.webhook_id IS NULL) = (d.task_id IS NULL) OR (d.root_id IS NULL) <> (d.seq IS NULL) OR (d.seq IS NULL AND d.webhook_id IS NULL) THEN
    RETURN false;
  END IF;
  IF least(d.tries, d.wake) < 0 OR (d.claim IS NOT NULL AND d.tries = 0) THEN RETURN false; END IF;
  CASE d.status
    WHEN 'pending' THEN RETURN d.due_at IS NOT NULL AND d.ended_at IS NULL;
    WHEN 'delivered' THEN RETURN d.due_at IS NULL AND d.claim IS NULL AND d.ended_at IS NOT NULL AND d.answered IS NOT NULL;
    WHEN 'failed' THEN RETURN d.due_at IS NULL AND d.claim IS NULL AND d.ended_at IS NOT NULL;
    ELSE RETURN false;
  END CASE;
END $$;
ALTER TABLE "webhook_delivery" ADD CONSTRAINT "webhook_delivery_state" CHECK (delivery_is_legal("webhook_delivery"));

ALTER TABLE "schedule"
  ADD CONSTRAINT "schedule_when" CHECK ((cron IS NULL) <> (every_seconds IS NULL) AND every_seconds > 0),
  ADD CONSTRAINT "schedule_due" CHECK ((due_at IS NOT NULL) = (disabled_at IS NULL AND removed_at IS NULL)),
  ADD CONSTRAINT "schedule_overlap" CHECK (overlap IN ('skip', 'queue')),
  ADD CONSTRAINT "schedule_error" CHECK ((error_code IS NULL) = (error_message IS NULL) AND (error_code IS NULL) = (erred_at IS NULL)),
  ADD CONSTRAINT "schedule_disabled" CHECK (
    CASE WHEN disabled_at IS NULL THEN disabled_reason IS NULL
         ELSE disabled_reason IS NOT NULL AND disabled_reason IN ('person', 'revoked', 'session', 'never_due') END
  );

ALTER TABLE "attempt" ADD CONSTRAINT "attempt_taken" CHECK ((bucket IS NULL) = (tokens_taken IS NULL) AND tokens_taken >= 0);
ALTER TABLE "rate_bucket" ADD CONSTRAINT "rate_bucket_limits" CHECK (requests_per_minute > 0 AND tokens_per_minute > 0);
ALTER TABLE "rate_line" ADD CONSTRAINT "rate_line_tokens" CHECK (tokens >= 0);
ALTER TABLE "model_health" ADD CONSTRAINT "model_health_strikes" CHECK (strikes > 0);

CREATE INDEX "session_children" ON "session" (parent_id) WHERE parent_id IS NOT NULL;
-- What keeps a session, or an output, from being deleted.
CREATE INDEX "session_forks" ON "session" (forked_from) WHERE forked_from IS NOT NULL;
CREATE INDEX "tool_call_output" ON "tool_call" (output_hash) WHERE output_hash IS NOT NULL;
-- What was answered since somebody searched.
CREATE INDEX "entry_answers" ON "entry" (created_at) WHERE kind = 'assistant';

-- A session is worked on by one turn at a time.
CREATE UNIQUE INDEX "turn_one_unfinished" ON "turn" (session_id) WHERE status IN ('ready', 'queued', 'running', 'parked');

-- Who waits for its turn among a tree's delegated tasks, and who is at work.
CREATE INDEX "delegation_open" ON "delegation" (root_id) WHERE status = 'open';

-- What the sweeper asks every second touches only rows that wait.
CREATE INDEX "turn_ready" ON "turn" (due_at) WHERE status = 'ready';
CREATE INDEX "turn_queued" ON "turn" (checked_at) WHERE status = 'queued';
CREATE INDEX "attempt_open" ON "attempt" (worker_id) WHERE ended_at IS NULL;
CREATE INDEX "webhook_delivery_ended" ON "webhook_delivery" (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX "webhook_delivery_claimed" ON "webhook_delivery" (coalesce(webhook_id, team_id)) WHERE claim IS NOT NULL;
CREATE INDEX "webhook_delivery_due" ON "webhook_delivery" (due_at) WHERE status = 'pending';
CREATE INDEX "schedule_due" ON "schedule" (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX "schedule_name" ON "schedule" (team_id, name) WHERE removed_at IS NULL;
CREATE INDEX "task_schedule" ON "task" (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX "worker_live" ON "worker" (lease_expires_at) WHERE ended_at IS NULL;
CREATE INDEX "task_deadline" ON "task" (deadline_at) WHERE ended_at IS NULL;
CREATE INDEX "task_unfinished" ON "task" (session_id, ordinal) WHERE ended_at IS NULL;
CREATE INDEX "task_unfinished_tree" ON "task" (root_id) WHERE ended_at IS NULL;
-- What a worker that reads a log looks for first: from where on it needs the whole of it.
CREATE INDEX "entry_changes" ON "entry" (session_id, position) WHERE kind IN ('compaction', 'revert');
CREATE INDEX "message_untaken" ON "message" (task_id) WHERE taken_position IS NULL;
CREATE INDEX "background_process_open" ON "background_process" (session_id) WHERE ended_at IS NULL;
CREATE INDEX "approval_open" ON "approval" (task_id) WHERE status = 'open';
CREATE INDEX "approval_due" ON "approval" (expires_at) WHERE status = 'open';
-- What is asked with every event that is written.
CREATE INDEX "webhook_live" ON "webhook" (team_id) WHERE disabled_at IS NULL AND removed_at IS NULL;
CREATE INDEX "webhook_delivery_task" ON "webhook_delivery" (task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX "permission_rule_live" ON "permission_rule" (team_id, id) WHERE revoked_at IS NULL;

-- What ended since the totals of all teams were last counted.
CREATE INDEX "turn_ended" ON "turn" (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX "attempt_ended" ON "attempt" (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX "task_ended" ON "task" (ended_at) WHERE ended_at IS NOT NULL;

ALTER TABLE "task" ADD CONSTRAINT "task_traceparent" CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
ALTER TABLE "metric_mark" ADD CONSTRAINT "metric_mark_one" CHECK (id);
INSERT INTO "metric_mark" DEFAULT VALUES;

-- What of a message or an answer is searched: its texts, as far as they count, in no particular language.
CREATE FUNCTION said_in(p_parts jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT left(string_agg(left(part->>'text', 100000), E'\n' ORDER BY place), 100000)
    FROM jsonb_array_elements(p_parts) WITH ORDINALITY AS parts (part, place) WHERE part->>'type' = 'text'
$$;

-- Rows that are updated in place, over and over: room for the new version on the same page.
ALTER TABLE "tree" SET (fillfactor = 50);
ALTER TABLE "turn" SET (fillfactor = 60);
ALTER TABLE "task" SET (fillfactor = 60);
ALTER TABLE "worker" SET (fillfactor = 50);
ALTER TABLE "webhook_delivery" SET (fillfactor = 60);
ALTER TABLE "rate_bucket" SET (fillfactor = 50);
ALTER TABLE "attempt" SET (fillfactor = 80);
ALTER TABLE "tool_call" SET (fillfactor = 80);
