// The browser's storage, or memory where the browser denies it: a sandboxed frame, a private window, a full quota.

/** A place for short texts. */
export interface Keep {
  get(key: string): string | null;
  /** Keep *value* under *key*; null removes it. */
  set(key: string, value: string | null): void;
  /** Return every key that begins with *prefix*. */
  keys(prefix: string): string[];
}

/** Keep things in the storage that *open* returns; in memory whatever it will not take. */
export function keepIn(open: () => Storage): Keep {
  const memory = new Map<string, string>();
  const attempt = <T>(use: (storage: Storage) => T, otherwise: T): T => {
    try {
      return use(open());
    } catch {
      return otherwise;
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt((storage) => storage.getItem(key), null),
    set(key, value) {
      memory.delete(key);
      if (value === null) return attempt((storage) => storage.removeItem(key), undefined);
      const stored = attempt((storage) => {
        storage.setItem(key, value);
        return true;
      }, false);
      if (!stored) memory.set(key, value);
    },
    keys(prefix) {
      const stored = attempt((storage) => Object.keys(storage), []);
      return [...new Set([...memory.keys(), ...stored])].filter((key) => key.startsWith(prefix));
    },
  };
}
