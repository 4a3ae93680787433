/** As much of the AI SDK as its transport's types name. */
declare module "ai" {
  export interface UIMessage {
    id: string
  }

  export interface ChatTransport<Message extends UIMessage> {
    sendMessages(request: {
      trigger: "submit-message"
      chatId: string
      messageId: string | undefined
      messages: Message[]
      abortSignal: AbortSignal | undefined
    }): Promise<AsyncIterable<{ delta?: string }>>
    reconnectToStream(request: {
      chatId: string
    }): Promise<AsyncIterable<{ delta?: string }> | null>
  }
}
