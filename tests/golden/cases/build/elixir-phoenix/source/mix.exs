defmodule Hello.MixProject do
  def project do
    [app: :hello, elixir: "~> 1.16", deps: [{:phoenix, "~> 1.7"}], aliases: ["assets.deploy": []]]
  end
end
