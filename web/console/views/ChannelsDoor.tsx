import { Door } from "./Door";

/** The pages of channels; *at* says which of them. */
export function ChannelsDoor({ at, onLoggedOut }: { at: string; onLoggedOut: () => void }) {
  return (
    <Door load={async () => (await import("../channels/ChannelsPage")).ChannelsPage}>{(Page) => <Page at={at} onLoggedOut={onLoggedOut} />}</Door>
  );
}
