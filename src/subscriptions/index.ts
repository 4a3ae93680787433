export { Subscriptions } from "./subscriptions.ts"
export type { ClaimOptions, CurrentHolder } from "./subscriptions.ts"
export { Claim } from "./claim.ts"
export type { AckResult } from "./claim.ts"
export { runWorker } from "./worker.ts"
export type { Worker } from "./worker.ts"
export type {
  BatchContext,
  BatchTypes,
  HandlerOptions,
  WorkerEvent,
  WorkerOptions,
} from "./worker-options.ts"
export { webhookHandler } from "./webhook-handler.ts"
export type { WebhookHandlerOptions } from "./webhook-handler.ts"
export { verifyWebhook } from "./verify-webhook.ts"
export type { VerifyWebhookOptions, Wake, WebhookVerification } from "./verify-webhook.ts"
export { OffsetMismatchError, sqliteOffsets } from "./exactly-once.ts"
export type { StoredOffsets } from "./exactly-once.ts"
export type { SqliteDatabase, SqliteStatement, SqliteValue } from "../platform/sqlite-database.ts"
export { SubscriptionError } from "./subscription-error.ts"
export type { SubscriptionErrorCode } from "../errors/error-code.ts"
export type {
  Ack,
  ClaimedStream,
  PullWakeConfig,
  RejectedAck,
  SubscribedStream,
  Subscription,
  SubscriptionConfig,
  SubscriptionOptions,
  WebhookConfig,
} from "./subscription.ts"
export type { SubscriptionsOptions } from "./subscriptions-request.ts"
