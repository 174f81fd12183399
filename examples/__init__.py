"""Examples: each runs offline against `dify_local`, or against your app where one is named."""
