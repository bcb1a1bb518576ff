import { Door } from "./Door";

/** The page of sounds. */
export function SoundsDoor({ onLoggedOut }: { onLoggedOut: () => void }) {
  return <Door load={async () => (await import("../sounds/SoundsPage")).SoundsPage}>{(Page) => <Page onLoggedOut={onLoggedOut} />}</Door>;
}
