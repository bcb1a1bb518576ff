/** The widget's hashed module, relative to widget.js; put in by build.mjs, known to the loader only. */
declare const __WIDGET_APP__: string;
